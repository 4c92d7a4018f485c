-- The twin of migrations/sqlite.
ALTER TABLE outcome ADD COLUMN erased BIGINT;
CREATE TABLE spent (
    app BIGINT NOT NULL,
    tag TEXT NOT NULL,
    PRIMARY KEY (app, tag)
);
