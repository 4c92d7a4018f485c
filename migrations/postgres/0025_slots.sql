-- Several daemons may write to one database. Each adds to rows of its own, so that no commit waits for another's; what there is of something
-- is the sum over the slots, and how far the store has come the largest. SQLite has one writer, and needs none of this.
ALTER TABLE tally ADD COLUMN slot BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tally DROP CONSTRAINT tally_pkey, ADD PRIMARY KEY (lane, name, slot);
ALTER TABLE schedule_tally ADD COLUMN slot BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedule_tally DROP CONSTRAINT schedule_tally_pkey, ADD PRIMARY KEY (schedule, name, slot);
