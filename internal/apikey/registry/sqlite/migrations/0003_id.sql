-- id: which registry this is, wherever it is stored
ALTER TABLE registry ADD COLUMN id TEXT NOT NULL DEFAULT '';

UPDATE registry SET id = lower(hex(randomblob(16)));
