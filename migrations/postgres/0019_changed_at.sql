-- The twin of migrations/sqlite.
ALTER TABLE reminder ADD COLUMN changed_at BIGINT;
