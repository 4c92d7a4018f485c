-- Attempts that the platform answered with neither yes nor no.
ALTER TABLE due ADD COLUMN unsure BIGINT NOT NULL DEFAULT 0;
