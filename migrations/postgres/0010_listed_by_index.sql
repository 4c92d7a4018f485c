-- The twin of migrations/sqlite. To index what is stored may take longer than any other statement may.
SET LOCAL statement_timeout = 0;
CREATE INDEX ended_otherwise ON outcome (lane, state, at, id) WHERE next_at IS NULL AND state <> 'sent';
CREATE INDEX undelivered ON receipt (lane, at, id) WHERE failure IS NOT NULL;
CREATE INDEX doubtful ON due (lane, due_at, id) WHERE doubt_since IS NOT NULL;
CREATE INDEX tried_again ON outcome (lane, next_at) WHERE next_at IS NOT NULL;
