-- The twin of migrations/sqlite.
CREATE TABLE push (
    day    BIGINT NOT NULL,
    app    BIGINT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (day, app, digest)
);
CREATE TABLE receipt (
    lane        BIGINT NOT NULL,
    at          BIGINT NOT NULL,
    id          BIGINT NOT NULL,
    pushed_at   BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    failure     TEXT,
    text        TEXT NOT NULL,
    message_id  TEXT,
    PRIMARY KEY (lane, at, id)
);
CREATE TABLE turned_off (
    recipient BIGINT NOT NULL,
    template  BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    PRIMARY KEY (recipient, template)
);
ALTER TABLE consent ADD COLUMN feeds BIGINT NOT NULL DEFAULT 1;
ALTER TABLE due ADD COLUMN doubt_since BIGINT;
CREATE TABLE audit (
    id       BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    at       BIGINT NOT NULL,
    actor    TEXT NOT NULL,
    action   TEXT NOT NULL,
    reminder BIGINT,
    detail   TEXT NOT NULL
);
