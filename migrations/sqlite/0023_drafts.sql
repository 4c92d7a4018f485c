-- Files that somebody has handed in at the console and not loaded yet, in pieces. `owner`: the number of their API key, 0 for a link from the
-- command line. `app`: whose users they may name; null until that is known. They go when they are loaded or discarded, after a day, and when a
-- user of their app is forgotten.
CREATE TABLE draft (
    id      TEXT PRIMARY KEY,
    owner   INTEGER NOT NULL,
    app     INTEGER,
    made_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE draft_piece (
    draft TEXT NOT NULL,
    file  TEXT NOT NULL,
    n     INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (draft, file, n)
) STRICT;
