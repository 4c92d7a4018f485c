-- The twin of migrations/sqlite.
CREATE TABLE secret (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
CREATE TABLE forgotten (
    app BIGINT NOT NULL,
    tag TEXT NOT NULL,
    at  BIGINT NOT NULL,
    PRIMARY KEY (app, tag)
);
