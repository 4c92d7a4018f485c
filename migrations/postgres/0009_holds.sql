-- The twin of migrations/sqlite.
ALTER TABLE hold ADD COLUMN reason TEXT NOT NULL DEFAULT 'restored'
    CONSTRAINT a_known_reason CHECK (reason IN ('restored', 'lost_commits', 'no_progress', 'another_database'));

-- What a restored or copied database cannot have. `cluster` is the server's system identifier, null where it may not be asked;
-- `database` is the database's OID; `written_by` is the transaction that wrote this row, which the row itself tells too (`xmin`), unless
-- another transaction has put it there.
CREATE TABLE identity (
    one        BOOLEAN PRIMARY KEY DEFAULT true CHECK (one),
    cluster    TEXT,
    database   BIGINT NOT NULL,
    written_by BIGINT NOT NULL
);
