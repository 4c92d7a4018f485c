-- Keys that open the calendar feed and nothing else. SQLite changes no CHECK of a table that is there, so the table is made anew.
CREATE TABLE api_key_with_feed (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    hash       TEXT NOT NULL UNIQUE,
    scope      TEXT NOT NULL,
    apps       TEXT,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER,
    CONSTRAINT a_known_scope CHECK (scope IN ('feed', 'read', 'write', 'admin'))
) STRICT;
INSERT INTO api_key_with_feed (id, name, hash, scope, apps, created_at, revoked_at)
SELECT id, name, hash, scope, apps, created_at, revoked_at FROM api_key;
DROP TABLE api_key;
ALTER TABLE api_key_with_feed RENAME TO api_key;

-- The feed takes the occurrences that lie nearest to now.
CREATE INDEX occurrence_by_time ON occurrence (event_at);
