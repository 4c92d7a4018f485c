-- Into how many lanes each app is divided by a node, where that is more than one: {"coffee": 4}.
ALTER TABLE node ADD COLUMN shards TEXT NOT NULL DEFAULT '{}';
-- A node says with each beat whether its own clock is distrusted: then nothing leaves it.
ALTER TABLE node ADD COLUMN clock_distrusted BOOLEAN NOT NULL DEFAULT false;
