-- What had become due by then was taken for sent, though the hold lasted longer. NULL: all that had become due before the hold was ended.
ALTER TABLE hold ADD COLUMN taken_until BIGINT;
