-- Reminders up to `last_id` may have been sent by another life of the store; later ones were made here. A clock cannot tell them apart:
-- it may have been wrong. A hold that was ended stays as a row: consents that came between the backup and then are not known, so
-- that a user's only known consent need not be the only one.
ALTER TABLE hold ADD COLUMN last_id INTEGER NOT NULL DEFAULT 9223372036854775807;
ALTER TABLE hold ADD COLUMN released_at INTEGER;
