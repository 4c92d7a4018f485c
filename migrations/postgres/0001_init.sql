-- Times are UTC milliseconds. Rows refer to each other by small integers; there are no foreign keys, because each check would
-- read a page that nothing else needs, and one writer task is the only one to write. The twin of migrations/sqlite.

CREATE TABLE app (
    id   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

-- The due-ordered stream of one app's reminders, or a shard of it.
CREATE TABLE lane (
    id    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app   BIGINT NOT NULL,
    shard BIGINT NOT NULL DEFAULT 0,
    UNIQUE (app, shard)
);

-- `code` is the platform's own template id.
CREATE TABLE template (
    id   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app  BIGINT NOT NULL,
    code TEXT NOT NULL,
    UNIQUE (app, code)
);

-- The only place that holds an openid: forgetting a user is one row.
CREATE TABLE recipient (
    id     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app    BIGINT NOT NULL,
    openid TEXT NOT NULL,
    UNIQUE (app, openid)
);

-- One permission a row. `reminder` names the holder from the moment it is reserved and for ever if it was used; "used" follows
-- from that reminder's end, so that settling a send does not touch this table. Clustered so that a reservation dirties one page.
CREATE TABLE consent (
    recipient   BIGINT NOT NULL,
    template    BIGINT NOT NULL,
    n           BIGINT NOT NULL,
    granted_at  BIGINT NOT NULL,
    source      TEXT,
    event       TEXT,
    standing    BIGINT NOT NULL DEFAULT 0,
    reminder    BIGINT,
    voided_at   BIGINT,
    void_reason TEXT,
    PRIMARY KEY (recipient, template, n),
    CONSTRAINT void_has_a_reason CHECK ((voided_at IS NULL) = (void_reason IS NULL)),
    CONSTRAINT standing_is_never_held CHECK (standing = 0 OR reminder IS NULL)
);

-- The body: written once at insert, changed only by its owner. `created_at` is inside the id.
CREATE TABLE reminder (
    id         BIGINT PRIMARY KEY,
    lane       BIGINT NOT NULL,
    recipient  BIGINT NOT NULL,
    template   BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    at_fire    BIGINT NOT NULL DEFAULT 0,
    standing   BIGINT NOT NULL DEFAULT 0,
    data       TEXT NOT NULL,
    page       TEXT,
    key        TEXT,
    local_at   TEXT,
    lang       TEXT,
    miniprogram_state TEXT,
    CONSTRAINT a_deadline_follows_its_instant CHECK (expires_at > at)
);

-- Reminders of a user that no consent row names (taken at the instant, given back, standing): with `consent.reminder`
-- this finds all reminders of a user without an index on `reminder`, which would cost a random page for each insert.
CREATE TABLE unheld (
    recipient BIGINT NOT NULL,
    reminder  BIGINT NOT NULL,
    PRIMARY KEY (recipient, reminder)
);

-- The living part, narrow and in due order; deleted at the end. state: 0 scheduled, 1 sending, 2 in doubt.
CREATE TABLE due (
    lane   BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    id     BIGINT NOT NULL,
    state  BIGINT NOT NULL DEFAULT 0,
    fence  BIGINT NOT NULL DEFAULT 0,
    tries  BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (lane, due_at, id),
    CONSTRAINT a_living_state CHECK (state IN (0, 1, 2))
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);

-- What happened, in the order of the instants, so that settling a burst appends. `next_at` names the living row's new `due_at`
-- and is null at the end. `began_at` is null when no call was made.
CREATE TABLE outcome (
    lane       BIGINT NOT NULL,
    at         BIGINT NOT NULL,
    id         BIGINT NOT NULL,
    fence      BIGINT NOT NULL,
    state      TEXT NOT NULL,
    ended_at   BIGINT NOT NULL,
    began_at   BIGINT,
    next_at    BIGINT,
    code       TEXT,
    text       TEXT,
    message_id TEXT,
    PRIMARY KEY (lane, at, id, fence),
    CONSTRAINT an_end_has_no_next CHECK ((next_at IS NULL) = (state IN ('sent', 'failed', 'expired', 'cancelled', 'unconfirmed')))
);

-- Unique per app, for ever.
CREATE TABLE idempotency (
    app      BIGINT NOT NULL,
    key      TEXT NOT NULL,
    reminder BIGINT NOT NULL,
    digest   TEXT NOT NULL,
    PRIMARY KEY (app, key)
);

-- How many there are of each state, changed in the same transaction: nothing ever counts rows.
CREATE TABLE tally (
    lane BIGINT NOT NULL,
    name TEXT NOT NULL,
    n    BIGINT NOT NULL,
    PRIMARY KEY (lane, name)
);

-- `apps` is null for all, else names separated by commas. Only the SHA-256 of a key is kept.
CREATE TABLE api_key (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       TEXT NOT NULL,
    hash       TEXT NOT NULL UNIQUE,
    scope      TEXT NOT NULL,
    apps       TEXT,
    created_at BIGINT NOT NULL,
    revoked_at BIGINT,
    CONSTRAINT a_known_scope CHECK (scope IN ('read', 'write', 'admin'))
);
