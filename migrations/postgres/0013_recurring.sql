-- What recurs: `kept_text` is the file by which occurrences are prepared, as its last load that came to its end said it, and `edition`
-- names the rows that are kept of its tables (`kept_row`); null: the schedule does not recur. `next_at`: when the next look at it is due;
-- null: never. `since`: an occurrence whose last instant does not lie after it was decided before, or was never one of this schedule.
-- `upcoming`: the next occurrences, as JSON. `recur_problem`: why nothing can be prepared, as JSON; null: nothing hinders.
-- `in_folder`: it was loaded from the watched folder; `orphaned_at`: since when its file is no longer there.
ALTER TABLE schedule ADD COLUMN kept_text TEXT;
ALTER TABLE schedule ADD COLUMN edition BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedule ADD COLUMN next_at BIGINT;
ALTER TABLE schedule ADD COLUMN since BIGINT;
ALTER TABLE schedule ADD COLUMN upcoming TEXT;
ALTER TABLE schedule ADD COLUMN recur_problem TEXT;
ALTER TABLE schedule ADD COLUMN in_folder BIGINT NOT NULL DEFAULT 0;
ALTER TABLE schedule ADD COLUMN orphaned_at BIGINT;
ALTER TABLE schedule DROP CONSTRAINT a_known_task;
ALTER TABLE schedule ADD CONSTRAINT a_known_task CHECK (task IS NULL OR task IN ('load', 'shift', 'cancel', 'prepare'));
CREATE INDEX recurring ON schedule (next_at) WHERE next_at IS NOT NULL;

-- Occurrences of which reminders were stored, or are being stored while `prepared_at` is null. `name` is the wall time
-- (`2031-03-03T19:00`) or the event's key. `first_at` and `last_at` are its instants, `ends_at` its last deadline. `people`: how many it reached.
CREATE TABLE occurrence (
    schedule    BIGINT NOT NULL,
    name        TEXT NOT NULL,
    event_at    BIGINT NOT NULL,
    first_at    BIGINT NOT NULL,
    last_at     BIGINT NOT NULL,
    ends_at     BIGINT NOT NULL,
    begun_at    BIGINT NOT NULL,
    prepared_at BIGINT,
    people      BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (schedule, name)
);

-- The right rows of a recurring schedule's tables, with the cells that its file names, as JSON. `n` is the place among those of a part.
CREATE TABLE kept_row (
    schedule BIGINT NOT NULL,
    edition  BIGINT NOT NULL,
    part     TEXT NOT NULL,
    n        BIGINT NOT NULL,
    number   BIGINT NOT NULL,
    openid   TEXT,
    cells    TEXT NOT NULL,
    PRIMARY KEY (schedule, edition, part, n),
    CONSTRAINT a_known_part CHECK (part IN ('audience', 'exclude', 'events'))
);
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
    since    BIGINT NOT NULL
);
