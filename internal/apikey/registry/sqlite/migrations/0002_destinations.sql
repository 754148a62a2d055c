-- destinations: each on a line
ALTER TABLE api_key ADD COLUMN destinations TEXT NOT NULL DEFAULT '';

ALTER TABLE rotation ADD COLUMN arrived_at INTEGER NOT NULL DEFAULT 0;

CREATE INDEX rotation_stopped ON rotation (phase) WHERE phase IN ('minted', 'delivering', 'checked');
