-- Several daemons. A node is one start of a daemon: live, leaving, lapsed (not seen to beat; its lanes are others') or gone (it has ended, and
-- that is known). `slot` is in the ids that it gives out, so no two that may still write have the same. `secret` stands in the file `lock` too,
-- which the node holds locked as long as it runs: whoever can lock it has proved that the node is gone.
CREATE TABLE node (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       TEXT NOT NULL,
    slot       BIGINT NOT NULL CHECK (slot BETWEEN 1 AND 63),
    state      TEXT NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'leaving', 'lapsed', 'gone')),
    beat       BIGINT NOT NULL DEFAULT 0,
    machine    TEXT NOT NULL,
    boot       TEXT NOT NULL,
    lock       TEXT NOT NULL,
    secret     TEXT NOT NULL,
    version    TEXT NOT NULL,
    schema     BIGINT NOT NULL,
    apps       TEXT NOT NULL,
    skew       BIGINT NOT NULL DEFAULT 0,
    started_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL
);
CREATE UNIQUE INDEX slot_of_node ON node (slot) WHERE state <> 'gone';

-- Who has a lane, and how often that has changed or its gates have closed: a mark names the epoch, and does nothing under another.
-- `status` is what its owner last said of it; `wanted` counts how often somebody wanted the app's templates read.
ALTER TABLE lane ADD COLUMN node BIGINT;
ALTER TABLE lane ADD COLUMN epoch BIGINT NOT NULL DEFAULT 0;
ALTER TABLE lane ADD COLUMN status TEXT;
ALTER TABLE lane ADD COLUMN wanted BIGINT NOT NULL DEFAULT 0;

-- Who marked the row last, as long as it has not said what came of it.
ALTER TABLE due ADD COLUMN node BIGINT;

-- How often a node has brought or moved what others must look at soon.
CREATE TABLE ring (
    slot BIGINT PRIMARY KEY,
    n    BIGINT NOT NULL
);

-- What one node at a time does for all: who, and since which epoch.
CREATE TABLE duty (
    name  TEXT PRIMARY KEY,
    node  BIGINT,
    epoch BIGINT NOT NULL DEFAULT 0
);
INSERT INTO duty (name) VALUES ('retention'), ('schedules'), ('folder'), ('gauges');
