-- What each platform listed last as an app's templates, so that a start without the platform knows it too. JSON, since it is only read whole.
CREATE TABLE listing (
    app       INTEGER PRIMARY KEY,
    read_at   INTEGER NOT NULL,
    templates TEXT NOT NULL
) STRICT;
