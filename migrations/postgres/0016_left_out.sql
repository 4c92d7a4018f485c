-- Occurrences of which nothing was sent to anybody, the latest of each schedule. `reason` is JSON.
CREATE TABLE left_out (
    schedule   BIGINT NOT NULL,
    name       TEXT NOT NULL,
    event_at   BIGINT NOT NULL,
    decided_at BIGINT NOT NULL,
    reason     TEXT NOT NULL,
    PRIMARY KEY (schedule, name)
);

-- `file_since`: when the file by which it recurs was loaded first; what had passed by then is late, and not missed. `decided`: an occurrence
-- whose last instant, by the file and not shifted, does not lie after it was decided before the last shift, and no shift brings it back.
ALTER TABLE schedule ADD COLUMN file_since BIGINT;
ALTER TABLE schedule ADD COLUMN decided BIGINT;

-- 1: what became due before the hold was ended is sent; 0: it was taken for sent.
ALTER TABLE hold ADD COLUMN sends BIGINT NOT NULL DEFAULT 0;
