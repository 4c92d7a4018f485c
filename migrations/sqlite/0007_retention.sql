-- What retention has taken from an ended reminder: 1 its body, 2 its attempts. Null: nothing.
ALTER TABLE outcome ADD COLUMN erased INTEGER;

-- Idempotency keys and taps whose rows are gone, by keyed hashes: they are refused for ever, and tell nothing.
CREATE TABLE spent (
    app INTEGER NOT NULL,
    tag TEXT NOT NULL,
    PRIMARY KEY (app, tag)
) STRICT, WITHOUT ROWID;
