-- When its owner, or its schedule's file or shift, changed a reminder last; null: never. Its ends and receipts carry times of their own.
ALTER TABLE reminder ADD COLUMN changed_at INTEGER;
