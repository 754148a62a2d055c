-- revocation: keys revoked in bulk, until their records show it
CREATE TABLE revocation (
	key_id TEXT    PRIMARY KEY,
	at     BIGINT  NOT NULL,
	detail TEXT    NOT NULL
);
