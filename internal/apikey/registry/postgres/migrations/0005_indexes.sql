-- for lists page by page, by owner; of keys that end soon; and for the history of a key
CREATE INDEX IF NOT EXISTS api_key_by_owner ON api_key (owner, id);

CREATE INDEX IF NOT EXISTS api_key_ends ON api_key ((CASE WHEN retires_at <> 0 AND (expires_at = 0 OR retires_at < expires_at) THEN retires_at ELSE expires_at END)) WHERE revoked_at = 0 AND (expires_at <> 0 OR retires_at <> 0);

CREATE INDEX IF NOT EXISTS audit_log_key ON audit_log (key_id, seq);

-- last, because it locks the table until the end
DROP INDEX IF EXISTS api_key_owner;
