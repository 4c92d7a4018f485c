-- The oldest schema whose tixing may run on this database. Changes add, so that daemons of the version before go on beside those of the next;
-- what takes away waits for `tixing migrate --contract`, which raises this.
CREATE TABLE versions (
    one        BOOLEAN PRIMARY KEY DEFAULT true CHECK (one),
    min_schema BIGINT NOT NULL
);
INSERT INTO versions (min_schema) VALUES (28);
