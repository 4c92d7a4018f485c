-- The twin of migrations/sqlite.
CREATE TABLE request (
    day       BIGINT NOT NULL,
    app       BIGINT NOT NULL,
    tag       TEXT NOT NULL,
    digest    TEXT NOT NULL,
    reminder  BIGINT,
    templates TEXT,
    PRIMARY KEY (day, app, tag),
    CONSTRAINT an_answer_of_one_kind CHECK ((reminder IS NULL) <> (templates IS NULL))
);
