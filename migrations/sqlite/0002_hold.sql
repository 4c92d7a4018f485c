-- A row here and nothing is sent. A backup carries one, with the instant it was made: whoever opens it does not know what was sent
-- since, and consents that were spent look available again.
CREATE TABLE hold (
    as_of INTEGER NOT NULL
) STRICT;
