CREATE TABLE registry (
	one            BIGINT  PRIMARY KEY CHECK (one = 1),
	schema_version BIGINT  NOT NULL,
	pepper         TEXT    NOT NULL
);

INSERT INTO registry VALUES (1, 0, '');

CREATE TABLE api_key (
	id          TEXT    PRIMARY KEY,
	digest      BYTEA   NOT NULL CHECK (length(digest) = 32),
	pepper      TEXT    NOT NULL,
	owner       TEXT    NOT NULL,
	environment TEXT    NOT NULL,
	scopes      TEXT    NOT NULL, -- separated by a blank
	rate        TEXT    NOT NULL,
	note        TEXT    NOT NULL,
	metadata    TEXT    NOT NULL, -- a JSON object, or nothing
	created_at  BIGINT  NOT NULL, -- all times: milliseconds since 1970, UTC; 0 is never
	expires_at  BIGINT  NOT NULL,
	disabled    BOOLEAN NOT NULL,
	retires_at  BIGINT  NOT NULL,
	revoked_at  BIGINT  NOT NULL,
	predecessor TEXT    NOT NULL,
	seq         BIGINT  NOT NULL  -- the audit entry of the last change
);

CREATE INDEX api_key_owner ON api_key (owner, environment);

CREATE TABLE key_use (
	key_id  TEXT    PRIMARY KEY REFERENCES api_key (id),
	last_at BIGINT  NOT NULL,
	uses    BIGINT  NOT NULL
);

CREATE TABLE rotation (
	new_id       TEXT    PRIMARY KEY REFERENCES api_key (id),
	old_id       TEXT    NOT NULL REFERENCES api_key (id),
	phase        TEXT    NOT NULL,
	compromised  BOOLEAN NOT NULL,
	started_at   BIGINT  NOT NULL,
	leased_until BIGINT  NOT NULL,
	due_at       BIGINT  NOT NULL,
	deliveries   TEXT    NOT NULL -- a JSON array
);

CREATE UNIQUE INDEX rotation_open ON rotation (old_id) WHERE phase NOT IN ('retired', 'abandoned');

CREATE INDEX rotation_old ON rotation (old_id);

CREATE INDEX rotation_due ON rotation (due_at) WHERE phase = 'overlap';

CREATE TABLE audit_log (
	seq     BIGINT  PRIMARY KEY,
	at      BIGINT  NOT NULL,
	actor   TEXT    NOT NULL,
	action  TEXT    NOT NULL,
	detail  TEXT    NOT NULL,
	key_id  TEXT    NOT NULL,
	key_sum BYTEA   NOT NULL,
	hash    BYTEA   NOT NULL
);

CREATE TABLE audit_head (
	one  BIGINT  PRIMARY KEY CHECK (one = 1),
	seq  BIGINT  NOT NULL,
	hash BYTEA   NOT NULL
);

INSERT INTO audit_head VALUES (1, 0, decode(repeat('00', 32), 'hex'));
