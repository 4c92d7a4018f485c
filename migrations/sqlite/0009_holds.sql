-- Why nothing is sent. The three after the first are found at a start: the store is behind the file beside it that says how far it had
-- come, that file is missing, or the database is another than the one that was written to.
ALTER TABLE hold ADD COLUMN reason TEXT NOT NULL DEFAULT 'restored'
    CONSTRAINT a_known_reason CHECK (reason IN ('restored', 'lost_commits', 'no_progress', 'another_database'));

-- How far the store has come stands in `tally`, as `progress` of lane 0, which is no app's: that table is written in every commit
-- anyway, so it costs no page. It is the instant of the last commit, raised where two would be equal or the clock was set back.
