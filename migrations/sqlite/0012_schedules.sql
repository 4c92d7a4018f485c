-- What marketers load. A schedule is one file; its name is unique and for ever. `text` is the TOML, `digest` is of it and its tables.
-- `task` is what is being done to it (load, shift, cancel), by whom and with a beat, so that a second one waits, and one that died is taken
-- up again; `task_shift` is by how much a shift moves, and the cursor is how far it has come: the row of `reminder` that was done last. `incomplete`: a load was cut off. `report` is what the last load said, as JSON.
CREATE TABLE schedule (
    id           INTEGER PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    app          INTEGER NOT NULL,
    template     INTEGER NOT NULL,
    path         TEXT,
    text         TEXT NOT NULL,
    digest       TEXT NOT NULL,
    zone         TEXT NOT NULL,
    quiet        TEXT,
    created_at   INTEGER NOT NULL,
    loaded_at    INTEGER,
    paused_at    INTEGER,
    cancelled_at INTEGER,
    shift        INTEGER NOT NULL DEFAULT 0,
    incomplete   INTEGER NOT NULL DEFAULT 0,
    first_at     INTEGER,
    last_at      INTEGER,
    task         TEXT,
    task_by      TEXT,
    task_nonce   TEXT,
    task_beat    INTEGER,
    task_detail  TEXT,
    task_shift   INTEGER,
    cursor_at    INTEGER,
    cursor_id    INTEGER,
    report       TEXT,
    CONSTRAINT a_known_task CHECK (task IS NULL OR task IN ('load', 'shift', 'cancel'))
) STRICT;

-- What is known again, for ever: a row's occasion in an occurrence, and its reminder. `digest` is of what the file said when it was last
-- loaded. What a load removes, or a cancelled schedule ends, leaves no row here: it may come back under another id.
CREATE TABLE planned (
    schedule   INTEGER NOT NULL,
    key        TEXT NOT NULL,
    occasion   TEXT NOT NULL,
    occurrence TEXT NOT NULL DEFAULT '',
    reminder   INTEGER NOT NULL,
    digest     INTEGER NOT NULL,
    PRIMARY KEY (schedule, key, occasion, occurrence)
) STRICT, WITHOUT ROWID;

-- How many reminders of a schedule there are of each state and reason (`failed/no_consent`), changed with the rows.
CREATE TABLE schedule_tally (
    schedule INTEGER NOT NULL,
    name     TEXT NOT NULL,
    n        INTEGER NOT NULL,
    PRIMARY KEY (schedule, name)
) STRICT, WITHOUT ROWID;

-- Where a reminder comes from; `row_key` is null where it is the openid. `moves`: its deadline is a duration after its instant, and a shift moves it along.
ALTER TABLE reminder ADD COLUMN schedule INTEGER;
ALTER TABLE reminder ADD COLUMN row_number INTEGER;
ALTER TABLE reminder ADD COLUMN row_key TEXT;
ALTER TABLE reminder ADD COLUMN occasion TEXT;
ALTER TABLE reminder ADD COLUMN moves INTEGER NOT NULL DEFAULT 0;
CREATE INDEX of_schedule ON reminder (schedule, at, id) WHERE schedule IS NOT NULL;

-- So that what a paused schedule has waiting is passed over without a look at its bodies.
ALTER TABLE due ADD COLUMN schedule INTEGER;

-- Who loaded, paused, resumed, shifted, cancelled or tried a schedule.
ALTER TABLE audit ADD COLUMN schedule INTEGER;
