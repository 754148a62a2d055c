-- id: which registry this is, wherever it is stored
ALTER TABLE registry ADD COLUMN id TEXT NOT NULL DEFAULT gen_random_uuid()::TEXT;
