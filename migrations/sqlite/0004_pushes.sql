-- The pushes that were taken in, so that the same one again changes nothing. Clustered by day, so that old ones go without a search.
CREATE TABLE push (
    day    INTEGER NOT NULL,
    app    INTEGER NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (day, app, digest)
) STRICT, WITHOUT ROWID;

-- The platform's later word on a message: one, the first. `failure` is null when it was delivered.
CREATE TABLE receipt (
    lane        INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    id          INTEGER NOT NULL,
    pushed_at   INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    failure     TEXT,
    text        TEXT NOT NULL,
    message_id  TEXT,
    PRIMARY KEY (lane, at, id)
) STRICT, WITHOUT ROWID;

-- Since when a user wants nothing more of a template. An accept from before then is void, however late it comes.
CREATE TABLE turned_off (
    recipient INTEGER NOT NULL,
    template  INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    PRIMARY KEY (recipient, template)
) STRICT, WITHOUT ROWID;

-- Who told of it: 1 the mini-program, 2 the platform, 3 both.
ALTER TABLE consent ADD COLUMN feeds INTEGER NOT NULL DEFAULT 1;

-- Since when nobody knows whether its request arrived.
ALTER TABLE due ADD COLUMN doubt_since INTEGER;

-- What people decided, and who.
CREATE TABLE audit (
    id       INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    actor    TEXT NOT NULL,
    action   TEXT NOT NULL,
    reminder INTEGER,
    detail   TEXT NOT NULL
) STRICT;
