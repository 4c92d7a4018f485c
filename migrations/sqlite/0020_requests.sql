-- Calls that have written something, by their Idempotency-Key. `tag` and `digest` are keyed hashes of the key and of the body, and tell nothing
-- of either. `reminder` is the one that the call inserted; `templates` are those to which its report has added a consent, as numbers with
-- commas between them. Clustered by day, so that old ones go without a search.
CREATE TABLE request (
    day       INTEGER NOT NULL,
    app       INTEGER NOT NULL,
    tag       TEXT NOT NULL,
    digest    TEXT NOT NULL,
    reminder  INTEGER,
    templates TEXT,
    PRIMARY KEY (day, app, tag),
    CONSTRAINT an_answer_of_one_kind CHECK ((reminder IS NULL) <> (templates IS NULL))
) STRICT, WITHOUT ROWID;
