-- Keys that open the calendar feed and nothing else.
ALTER TABLE api_key DROP CONSTRAINT a_known_scope;
ALTER TABLE api_key ADD CONSTRAINT a_known_scope CHECK (scope IN ('feed', 'read', 'write', 'admin'));

-- The feed takes the occurrences that lie nearest to now.
CREATE INDEX occurrence_by_time ON occurrence (event_at);
