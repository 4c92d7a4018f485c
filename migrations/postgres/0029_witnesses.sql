-- A standby took over that may lack commits. Such a hold ends by itself (`by_itself`) once every daemon that may have committed something has written
-- again what the standby lacks; unless something cannot be written again: then `stays` says what, as JSON, and an operator ends it.
ALTER TABLE hold ADD COLUMN by_itself BOOLEAN NOT NULL DEFAULT false;
ALTER TABLE hold ADD COLUMN stays TEXT;
-- The daemons that have not done so. Who `waits` has written what it could: the rest needs what others have not written yet.
CREATE TABLE awaited (
    node  BIGINT PRIMARY KEY,
    waits BOOLEAN NOT NULL DEFAULT false
);
