-- What marketers load. A schedule is one file; its name is unique and for ever. `text` is the TOML, `digest` is of it and its tables.
-- `task` is what is being done to it (load, shift, cancel), by whom and with a beat, so that a second one waits, and one that died is taken
-- up again; `task_shift` is by how much a shift moves, and the cursor is how far it has come: the row of `reminder` that was done last. `incomplete`: a load was cut off. `report` is what the last load said, as JSON.
CREATE TABLE schedule (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    app          BIGINT NOT NULL,
    template     BIGINT NOT NULL,
    path         TEXT,
    text         TEXT NOT NULL,
    digest       TEXT NOT NULL,
    zone         TEXT NOT NULL,
    quiet        TEXT,
    created_at   BIGINT NOT NULL,
    loaded_at    BIGINT,
    paused_at    BIGINT,
    cancelled_at BIGINT,
    shift        BIGINT NOT NULL DEFAULT 0,
    incomplete   BIGINT NOT NULL DEFAULT 0,
    first_at     BIGINT,
    last_at      BIGINT,
    task         TEXT,
    task_by      TEXT,
    task_nonce   TEXT,
    task_beat    BIGINT,
    task_detail  TEXT,
    task_shift   BIGINT,
    cursor_at    BIGINT,
    cursor_id    BIGINT,
    report       TEXT,
    CONSTRAINT a_known_task CHECK (task IS NULL OR task IN ('load', 'shift', 'cancel'))
);

-- What is known again, for ever: a row's occasion in an occurrence, and its reminder. `digest` is of what the file said when it was last
-- loaded. What a load removes, or a cancelled schedule ends, leaves no row here: it may come back under another id.
CREATE TABLE planned (
    schedule   BIGINT NOT NULL,
    key        TEXT NOT NULL,
    occasion   TEXT NOT NULL,
    occurrence TEXT NOT NULL DEFAULT '',
    reminder   BIGINT NOT NULL,
    digest     BIGINT NOT NULL,
    PRIMARY KEY (schedule, key, occasion, occurrence)
);

-- How many reminders of a schedule there are of each state and reason (`failed/no_consent`), changed with the rows.
CREATE TABLE schedule_tally (
    schedule BIGINT NOT NULL,
    name     TEXT NOT NULL,
    n        BIGINT NOT NULL,
    PRIMARY KEY (schedule, name)
);

-- Where a reminder comes from; `row_key` is null where it is the openid. `moves`: its deadline is a duration after its instant, and a shift moves it along.
ALTER TABLE reminder ADD COLUMN schedule BIGINT;
ALTER TABLE reminder ADD COLUMN row_number BIGINT;
ALTER TABLE reminder ADD COLUMN row_key TEXT;
ALTER TABLE reminder ADD COLUMN occasion TEXT;
ALTER TABLE reminder ADD COLUMN moves BIGINT NOT NULL DEFAULT 0;
CREATE INDEX of_schedule ON reminder (schedule, at, id) WHERE schedule IS NOT NULL;

-- So that what a paused schedule has waiting is passed over without a look at its bodies.
ALTER TABLE due ADD COLUMN schedule BIGINT;

-- Who loaded, paused, resumed, shifted, cancelled or tried a schedule.
ALTER TABLE audit ADD COLUMN schedule BIGINT;
