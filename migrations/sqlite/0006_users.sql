-- What is this store's alone. Made at the first start; whoever has it can tell whether a known openid was forgotten here.
CREATE TABLE secret (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Users who were forgotten, by a keyed hash of their openids: nothing is stored for them again.
CREATE TABLE forgotten (
    app INTEGER NOT NULL,
    tag TEXT NOT NULL,
    at  INTEGER NOT NULL,
    PRIMARY KEY (app, tag)
) STRICT, WITHOUT ROWID;
