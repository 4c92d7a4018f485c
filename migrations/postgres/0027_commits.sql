-- How many commits each node has made. A node knows its own number: where the database says less, it has forgotten commits that it had confirmed,
-- as a standby does that takes over before it has received them.
CREATE TABLE chain (
    node BIGINT PRIMARY KEY,
    n    BIGINT NOT NULL
);
-- The timeline that was last seen to have all commits: each standby that takes over begins another. Null where it may not be asked.
ALTER TABLE identity ADD COLUMN timeline TEXT;
