-- A consent may end by itself, and may be a ticket that its send names to the platform: `<kind>:<id>`. Of a ticket, or an accept, that is
-- worth several sends there is a row for each.
ALTER TABLE consent ADD COLUMN ends_at INTEGER;
ALTER TABLE consent ADD COLUMN ticket TEXT;

-- What has ended is found by it. Its condition names no column that ever changes, so that holding a consent touches no index.
CREATE INDEX consent_end ON consent (ends_at, recipient, template, n) WHERE ends_at IS NOT NULL;
