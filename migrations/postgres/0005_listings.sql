-- The twin of migrations/sqlite.
CREATE TABLE listing (
    app       BIGINT PRIMARY KEY,
    read_at   BIGINT NOT NULL,
    templates TEXT NOT NULL
);
