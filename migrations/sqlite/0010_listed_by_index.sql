-- What lists ask for that is rare goes by these. What was sent, the many, is in none of them: to settle it costs no page more.
CREATE INDEX ended_otherwise ON outcome (lane, state, at, id) WHERE next_at IS NULL AND state <> 'sent';
CREATE INDEX undelivered ON receipt (lane, at, id) WHERE failure IS NOT NULL;
-- Not by `state`: a mark changes that, and PostgreSQL would write to every index of the row.
CREATE INDEX doubtful ON due (lane, due_at, id) WHERE doubt_since IS NOT NULL;
-- What waits for another try though its instant has passed: found without a look at all that is to come.
CREATE INDEX tried_again ON outcome (lane, next_at) WHERE next_at IS NOT NULL;
