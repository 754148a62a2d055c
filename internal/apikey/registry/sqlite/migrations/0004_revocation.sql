-- revocation: keys revoked in bulk, until their records show it
CREATE TABLE revocation (
	key_id TEXT    PRIMARY KEY,
	seq    INTEGER NOT NULL, -- the audit entry of the revocation
	at     INTEGER NOT NULL CHECK (at > 0),
	UNIQUE (seq, key_id)
) STRICT, WITHOUT ROWID;

-- An older server, which does not know the table above, must refuse every key.
ALTER TABLE audit_head RENAME TO log_head;
