-- Who did what to a schedule, the latest first.
CREATE INDEX audit_of_schedule ON audit (schedule, id) WHERE schedule IS NOT NULL;
