-- revocation: keys revoked in bulk, until their records show it
CREATE TABLE revocation (
	key_id TEXT    PRIMARY KEY,
	at     INTEGER NOT NULL,
	detail TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
