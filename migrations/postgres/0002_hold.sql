-- The twin of migrations/sqlite.
CREATE TABLE hold (
    as_of BIGINT NOT NULL
);
