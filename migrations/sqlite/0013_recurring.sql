-- What recurs: `kept_text` is the file by which occurrences are prepared, as its last load that came to its end said it, and `edition`
-- names the rows that are kept of its tables (`kept_row`); null: the schedule does not recur. `next_at`: when the next look at it is due;
-- null: never. `since`: an occurrence whose last instant does not lie after it was decided before, or was never one of this schedule.
-- `upcoming`: the next occurrences, as JSON. `recur_problem`: why nothing can be prepared, as JSON; null: nothing hinders.
-- `in_folder`: it was loaded from the watched folder; `orphaned_at`: since when its file is no longer there.
-- SQLite changes no CHECK of a table that is there, so the table is made anew.
CREATE TABLE schedule_with_recurrence (
    id            INTEGER PRIMARY KEY,
    name          TEXT NOT NULL UNIQUE,
    app           INTEGER NOT NULL,
    template      INTEGER NOT NULL,
    path          TEXT,
    text          TEXT NOT NULL,
    digest        TEXT NOT NULL,
    zone          TEXT NOT NULL,
    quiet         TEXT,
    created_at    INTEGER NOT NULL,
    loaded_at     INTEGER,
    paused_at     INTEGER,
    cancelled_at  INTEGER,
    shift         INTEGER NOT NULL DEFAULT 0,
    incomplete    INTEGER NOT NULL DEFAULT 0,
    first_at      INTEGER,
    last_at       INTEGER,
    task          TEXT,
    task_by       TEXT,
    task_nonce    TEXT,
    task_beat     INTEGER,
    task_detail   TEXT,
    task_shift    INTEGER,
    cursor_at     INTEGER,
    cursor_id     INTEGER,
    report        TEXT,
    kept_text     TEXT,
    edition       INTEGER NOT NULL DEFAULT 0,
    next_at       INTEGER,
    since         INTEGER,
    upcoming      TEXT,
    recur_problem TEXT,
    in_folder     INTEGER NOT NULL DEFAULT 0,
    orphaned_at   INTEGER,
    CONSTRAINT a_known_task CHECK (task IS NULL OR task IN ('load', 'shift', 'cancel', 'prepare'))
) STRICT;
INSERT INTO schedule_with_recurrence (id, name, app, template, path, text, digest, zone, quiet, created_at, loaded_at, paused_at,
    cancelled_at, shift, incomplete, first_at, last_at, task, task_by, task_nonce, task_beat, task_detail, task_shift, cursor_at, cursor_id, report)
SELECT id, name, app, template, path, text, digest, zone, quiet, created_at, loaded_at, paused_at,
    cancelled_at, shift, incomplete, first_at, last_at, task, task_by, task_nonce, task_beat, task_detail, task_shift, cursor_at, cursor_id, report
FROM schedule;
DROP TABLE schedule;
ALTER TABLE schedule_with_recurrence RENAME TO schedule;
CREATE INDEX recurring ON schedule (next_at) WHERE next_at IS NOT NULL;

-- Occurrences of which reminders were stored, or are being stored while `prepared_at` is null. `name` is the wall time
-- (`2031-03-03T19:00`) or the event's key. `first_at` and `last_at` are its instants, `ends_at` its last deadline. `people`: how many it reached.
CREATE TABLE occurrence (
    schedule    INTEGER NOT NULL,
    name        TEXT NOT NULL,
    event_at    INTEGER NOT NULL,
    first_at    INTEGER NOT NULL,
    last_at     INTEGER NOT NULL,
    ends_at     INTEGER NOT NULL,
    begun_at    INTEGER NOT NULL,
    prepared_at INTEGER,
    people      INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (schedule, name)
) STRICT, WITHOUT ROWID;

-- The right rows of a recurring schedule's tables, with the cells that its file names, as JSON. `n` is the place among those of a part.
CREATE TABLE kept_row (
    schedule INTEGER NOT NULL,
    edition  INTEGER NOT NULL,
    part     TEXT NOT NULL,
    n        INTEGER NOT NULL,
    number   INTEGER NOT NULL,
    openid   TEXT,
    cells    TEXT NOT NULL,
    PRIMARY KEY (schedule, edition, part, n),
    CONSTRAINT a_known_part CHECK (part IN ('audience', 'exclude', 'events'))
) STRICT, WITHOUT ROWID;
CREATE INDEX kept_of_user ON kept_row (openid) WHERE openid IS NOT NULL;

-- Of which occurrence a reminder is; null for one of none.
ALTER TABLE reminder ADD COLUMN occurrence TEXT;

-- Files of the watched folder that can't be loaded, and why: `code` and `detail` (as JSON). A file that is right, or gone, has no row.
CREATE TABLE folder_problem (
    path     TEXT PRIMARY KEY,
    schedule TEXT,
    app      TEXT,
    code     TEXT NOT NULL,
    detail   TEXT NOT NULL,
    since    INTEGER NOT NULL
) STRICT;
