CREATE TABLE registry (
	one            INTEGER PRIMARY KEY CHECK (one = 1),
	schema_version INTEGER NOT NULL,
	pepper         TEXT    NOT NULL
) STRICT;

INSERT INTO registry VALUES (1, 0, '');

CREATE TABLE api_key (
	id          TEXT    PRIMARY KEY,
	digest      BLOB    NOT NULL CHECK (length(digest) = 32),
	pepper      TEXT    NOT NULL,
	owner       TEXT    NOT NULL,
	environment TEXT    NOT NULL,
	scopes      TEXT    NOT NULL, -- separated by a blank
	rate        TEXT    NOT NULL,
	note        TEXT    NOT NULL,
	metadata    TEXT    NOT NULL, -- a JSON object, or nothing
	created_at  INTEGER NOT NULL, -- all times: milliseconds since 1970, UTC; 0 is never
	expires_at  INTEGER NOT NULL,
	disabled    INTEGER NOT NULL,
	retires_at  INTEGER NOT NULL,
	revoked_at  INTEGER NOT NULL,
	predecessor TEXT    NOT NULL,
	seq         INTEGER NOT NULL  -- the audit entry of the last change
) STRICT;

CREATE INDEX api_key_owner ON api_key (owner, environment);

CREATE TABLE key_use (
	key_id  TEXT    PRIMARY KEY REFERENCES api_key (id),
	last_at INTEGER NOT NULL,
	uses    INTEGER NOT NULL
) STRICT;

CREATE TABLE rotation (
	new_id       TEXT    PRIMARY KEY REFERENCES api_key (id),
	old_id       TEXT    NOT NULL REFERENCES api_key (id),
	phase        TEXT    NOT NULL,
	compromised  INTEGER NOT NULL,
	started_at   INTEGER NOT NULL,
	leased_until INTEGER NOT NULL,
	due_at       INTEGER NOT NULL,
	deliveries   TEXT    NOT NULL -- a JSON array
) STRICT;

CREATE UNIQUE INDEX rotation_open ON rotation (old_id) WHERE phase NOT IN ('retired', 'abandoned');

CREATE INDEX rotation_old ON rotation (old_id);

CREATE INDEX rotation_due ON rotation (due_at) WHERE phase = 'overlap';

CREATE TABLE audit_log (
	seq     INTEGER PRIMARY KEY,
	at      INTEGER NOT NULL,
	actor   TEXT    NOT NULL,
	action  TEXT    NOT NULL,
	detail  TEXT    NOT NULL,
	key_id  TEXT    NOT NULL,
	key_sum BLOB    NOT NULL,
	hash    BLOB    NOT NULL
) STRICT;

CREATE TABLE audit_head (
	one  INTEGER PRIMARY KEY CHECK (one = 1),
	seq  INTEGER NOT NULL,
	hash BLOB    NOT NULL
) STRICT;

INSERT INTO audit_head VALUES (1, 0, zeroblob(32));
