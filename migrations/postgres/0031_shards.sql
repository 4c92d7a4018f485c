-- Into how many lanes each app is divided by a node, where that is more than one: {"coffee": 4}.
ALTER TABLE node ADD COLUMN shards TEXT NOT NULL DEFAULT '{}';
