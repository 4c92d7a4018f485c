-- Times are UTC milliseconds. Rows refer to each other by small integers; there are no foreign keys, because each check would
-- read a page that nothing else needs, and one writer task is the only one to write.

CREATE TABLE app (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- The due-ordered stream of one app's reminders, or a shard of it.
CREATE TABLE lane (
    id    INTEGER PRIMARY KEY,
    app   INTEGER NOT NULL,
    shard INTEGER NOT NULL DEFAULT 0,
    UNIQUE (app, shard)
) STRICT;

-- `code` is the platform's own template id.
CREATE TABLE template (
    id   INTEGER PRIMARY KEY,
    app  INTEGER NOT NULL,
    code TEXT NOT NULL,
    UNIQUE (app, code)
) STRICT;

-- The only place that holds an openid: forgetting a user is one row.
CREATE TABLE recipient (
    id     INTEGER PRIMARY KEY,
    app    INTEGER NOT NULL,
    openid TEXT NOT NULL,
    UNIQUE (app, openid)
) STRICT;

-- One permission a row. `reminder` names the holder from the moment it is reserved and for ever if it was used; "used" follows
-- from that reminder's end, so that settling a send does not touch this table. Clustered so that a reservation dirties one page.
CREATE TABLE consent (
    recipient   INTEGER NOT NULL,
    template    INTEGER NOT NULL,
    n           INTEGER NOT NULL,
    granted_at  INTEGER NOT NULL,
    source      TEXT,
    event       TEXT,
    standing    INTEGER NOT NULL DEFAULT 0,
    reminder    INTEGER,
    voided_at   INTEGER,
    void_reason TEXT,
    PRIMARY KEY (recipient, template, n),
    CONSTRAINT void_has_a_reason CHECK ((voided_at IS NULL) = (void_reason IS NULL)),
    CONSTRAINT standing_is_never_held CHECK (standing = 0 OR reminder IS NULL)
) STRICT, WITHOUT ROWID;

-- The body: written once at insert, changed only by its owner. `created_at` is inside the id.
CREATE TABLE reminder (
    id         INTEGER PRIMARY KEY,
    lane       INTEGER NOT NULL,
    recipient  INTEGER NOT NULL,
    template   INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    at_fire    INTEGER NOT NULL DEFAULT 0,
    standing   INTEGER NOT NULL DEFAULT 0,
    data       TEXT NOT NULL,
    page       TEXT,
    key        TEXT,
    local_at   TEXT,
    lang       TEXT,
    miniprogram_state TEXT,
    CONSTRAINT a_deadline_follows_its_instant CHECK (expires_at > at)
) STRICT;

-- Reminders of a user that no consent row names (taken at the instant, given back, standing): with `consent.reminder`
-- this finds all reminders of a user without an index on `reminder`, which would cost a random page for each insert.
CREATE TABLE unheld (
    recipient INTEGER NOT NULL,
    reminder  INTEGER NOT NULL,
    PRIMARY KEY (recipient, reminder)
) STRICT, WITHOUT ROWID;

-- The living part, narrow and in due order; deleted at the end. state: 0 scheduled, 1 sending, 2 in doubt.
CREATE TABLE due (
    lane   INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    id     INTEGER NOT NULL,
    state  INTEGER NOT NULL DEFAULT 0,
    fence  INTEGER NOT NULL DEFAULT 0,
    tries  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (lane, due_at, id),
    CONSTRAINT a_living_state CHECK (state IN (0, 1, 2))
) STRICT, WITHOUT ROWID;

-- What happened, in the order of the instants, so that settling a burst appends. `next_at` names the living row's new `due_at`
-- and is null at the end. `began_at` is null when no call was made.
CREATE TABLE outcome (
    lane       INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    id         INTEGER NOT NULL,
    fence      INTEGER NOT NULL,
    state      TEXT NOT NULL,
    ended_at   INTEGER NOT NULL,
    began_at   INTEGER,
    next_at    INTEGER,
    code       TEXT,
    text       TEXT,
    message_id TEXT,
    PRIMARY KEY (lane, at, id, fence),
    CONSTRAINT an_end_has_no_next CHECK ((next_at IS NULL) = (state IN ('sent', 'failed', 'expired', 'cancelled', 'unconfirmed')))
) STRICT, WITHOUT ROWID;

-- Unique per app, for ever.
CREATE TABLE idempotency (
    app      INTEGER NOT NULL,
    key      TEXT NOT NULL,
    reminder INTEGER NOT NULL,
    digest   TEXT NOT NULL,
    PRIMARY KEY (app, key)
) STRICT, WITHOUT ROWID;

-- How many there are of each state, changed in the same transaction: nothing ever counts rows.
CREATE TABLE tally (
    lane INTEGER NOT NULL,
    name TEXT NOT NULL,
    n    INTEGER NOT NULL,
    PRIMARY KEY (lane, name)
) STRICT, WITHOUT ROWID;

-- `apps` is null for all, else names separated by commas. Only the SHA-256 of a key is kept.
CREATE TABLE api_key (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    hash       TEXT NOT NULL UNIQUE,
    scope      TEXT NOT NULL,
    apps       TEXT,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER,
    CONSTRAINT a_known_scope CHECK (scope IN ('read', 'write', 'admin'))
) STRICT;
