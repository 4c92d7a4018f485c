-- Who is signed in to the console. Only a hash of a session's secret is kept. `key`: the API key by which somebody signed in; null for a link
-- from the command line. `seen_at` is written at most once a minute.
CREATE TABLE session (
    hash    TEXT PRIMARY KEY,
    key     BIGINT,
    made_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);
