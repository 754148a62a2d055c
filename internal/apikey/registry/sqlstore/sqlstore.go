// Package sqlstore is the registry in a SQL database, with statements for SQLite,
// PostgreSQL and CockroachDB. Their differences are in a Dialect.
//
// The parameters of a statement first appear in the order of their numbers: to SQLite, $2 is
// a name, and its driver numbers names as they appear.
package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"path"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/sanitize"
)

// Dialect is what differs between databases.
type Dialect struct {
	Migrations embed.FS // migrations/*.sql in the order of their names, each its own transaction
	// HeadForUpdate selects seq and hash of log_head, and locks it.
	HeadForUpdate string
	// Parameters is the maximum number of parameters of a statement: 17 or more.
	Parameters int
	// Check is a query that reads every row, and whatever else the database can check, and
	// returns "ok" or what is damaged.
	Check string
	// OneConnection means that the only connection is exclusive.
	OneConnection bool
	// Frozen means that changes by others are not visible, so that watching is refused.
	Frozen bool
	// Snapshot is the isolation level for reads of one snapshot.
	Snapshot sql.IsolationLevel
	// Retry reports that a transaction failed because of another one and may be repeated.
	Retry func(error) bool
	// Lost reports that the connection was lost, so that a commit may have succeeded.
	Lost func(error) bool
	// Explain wraps an error of the driver in one of package apikey's.
	Explain func(error) error
}

// Store is an apikey.Registry.
type Store struct {
	db      *sql.DB
	dialect Dialect
	lookup  *sql.Stmt
	watch   watcher
}

// Open uses a database, which the Store then owns.
func Open(ctx context.Context, db *sql.DB, d Dialect, mode apikey.Mode) (*Store, error) {
	s := &Store{db: db, dialect: d}
	err := s.migrate(ctx, mode)
	if err == nil {
		s.lookup, err = db.PrepareContext(ctx, selectKeys+"id = $1")
	}
	if err != nil {
		db.Close()
		return nil, s.explain(err)
	}
	return s, nil
}

// Close closes the database.
func (s *Store) Close() error {
	s.watch.close()
	s.lookup.Close()
	return s.db.Close()
}

func (s *Store) explain(err error) error {
	if err == nil {
		return nil
	}
	return s.dialect.Explain(err)
}

// migrate runs the missing migrations.
func (s *Store) migrate(ctx context.Context, mode apikey.Mode) error {
	files, err := s.dialect.Migrations.ReadDir("migrations")
	if err != nil {
		return err
	}
	version, err := s.schemaVersion(ctx)
	switch {
	case errors.Is(err, apikey.ErrNoRegistry) && mode == apikey.ModeCreate:
		version = 0
	case err != nil:
		return err
	case version > len(files):
		return fmt.Errorf("%w: its schema is version %d, and this fob knows %d", apikey.ErrNewerSchema, version, len(files))
	case version < len(files) && mode == apikey.ModeInspect:
		return apikey.ErrOlderSchema
	}
	for version < len(files) {
		if err := s.step(ctx, version, path.Join("migrations", files[version].Name())); err != nil {
			return err
		}
		version++
	}
	return nil
}

func (s *Store) schemaVersion(ctx context.Context) (version int, err error) {
	err = s.explain(s.db.QueryRowContext(ctx, "SELECT schema_version FROM registry").Scan(&version))
	if errors.Is(err, sql.ErrNoRows) {
		err = apikey.ErrNoRegistry
	}
	return version, err
}

// step runs one migration, unless another process has done so.
func (s *Store) step(ctx context.Context, from int, file string) error {
	text, err := s.dialect.Migrations.ReadFile(file)
	if err != nil {
		return err
	}
	return s.retry(ctx, func() error {
		if now, err := s.schemaVersion(ctx); err == nil && now > from {
			return nil
		}
		tx, err := s.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		if from > 0 { // who updates the row first runs the step
			if taken, err := setSchemaVersion(ctx, tx, from); !taken || err != nil {
				return err
			}
		}
		for statement := range strings.SplitSeq(string(text), ";\n") {
			if strings.TrimSpace(statement) == "" {
				continue
			}
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		if from == 0 {
			if _, err := setSchemaVersion(ctx, tx, from); err != nil {
				return err
			}
		}
		return tx.Commit()
	})
}

// setSchemaVersion records a migration, unless another process has done so.
func setSchemaVersion(ctx context.Context, tx *sql.Tx, from int) (done bool, err error) {
	result, err := tx.ExecContext(ctx, "UPDATE registry SET schema_version = $1 WHERE schema_version = $2", from+1, from)
	if err != nil {
		return false, err
	}
	changed, err := result.RowsAffected()
	return changed == 1, err
}

// maxAttempts bounds the retries of a transaction.
const maxAttempts = 20

// retry repeats do as long as it fails because of other transactions.
func (s *Store) retry(ctx context.Context, do func() error) error {
	for attempt := 1; ; attempt++ {
		err := do()
		if err == nil || !s.dialect.Retry(err) || attempt == maxAttempts {
			return s.explain(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(attempt) * 10 * time.Millisecond):
		}
	}
}

const (
	firstColumns = "id, digest, pepper, owner, environment, scopes, rate, note, metadata, created_at, expires_at, disabled, retires_at"
	lastColumns  = "predecessor, destinations"
	// keyColumns are the columns of a record.
	keyColumns = firstColumns + ", revoked_at, " + lastColumns
	// readColumns also select revocations that are not in the record yet.
	readColumns = firstColumns + ", CASE WHEN revoked_at <> 0 THEN revoked_at ELSE COALESCE((SELECT at FROM revocation WHERE key_id = id), 0) END, " + lastColumns
	selectKeys  = "SELECT " + readColumns + ", 0, 0 FROM api_key WHERE "
)

const keyFields = 16

// scanKey scans the columns in before, then those of a record and the key's use.
func scanKey(row interface{ Scan(dest ...any) error }, before ...any) (apikey.Record, error) {
	var r apikey.Record
	var digest []byte
	var scopes, metadata, destinations string
	var created, expires, retires, revoked, used int64
	err := row.Scan(append(before, &r.ID, &digest, &r.Pepper, &r.Owner, &r.Environment, &scopes, &r.Rate, &r.Note, &metadata,
		&created, &expires, &r.Disabled, &retires, &revoked, &r.Predecessor, &destinations, &used, &r.Uses)...)
	if errors.Is(err, sql.ErrNoRows) {
		return r, apikey.ErrNotFound
	}
	if err != nil {
		return r, err
	}
	if len(digest) != len(r.Digest) {
		return r, fmt.Errorf("key %.12q: %w: its digest has %d bytes", r.ID, apikey.ErrDamaged, len(digest))
	}
	r.Digest = apikey.Digest(digest)
	r.Scopes = strings.Fields(scopes)
	r.CreatedAt, r.ExpiresAt = apikey.FromMilliseconds(created), apikey.FromMilliseconds(expires)
	r.RetiresAt, r.RevokedAt = apikey.FromMilliseconds(retires), apikey.FromMilliseconds(revoked)
	r.LastUsedAt = apikey.FromMilliseconds(used)
	if destinations != "" {
		r.Destinations = strings.Split(destinations, "\n")
	}
	if metadata != "" {
		if err := json.Unmarshal([]byte(metadata), &r.Metadata); err != nil {
			return r, fmt.Errorf("key %.12q: %w: its metadata is not JSON", r.ID, apikey.ErrDamaged)
		}
	}
	return r, nil
}

func keyValues(r *apikey.Record) ([]any, error) {
	metadata := ""
	if len(r.Metadata) > 0 {
		text, err := json.Marshal(r.Metadata)
		if err != nil {
			return nil, err
		}
		metadata = string(text)
	}
	return []any{
		r.ID, r.Digest[:], r.Pepper, r.Owner, r.Environment, strings.Join(r.Scopes, " "), r.Rate, r.Note, metadata,
		apikey.Milliseconds(r.CreatedAt), apikey.Milliseconds(r.ExpiresAt), r.Disabled,
		apikey.Milliseconds(r.RetiresAt), apikey.Milliseconds(r.RevokedAt), r.Predecessor,
		strings.Join(r.Destinations, "\n"),
	}, nil
}

// Key implements apikey.Registry.
func (s *Store) Key(ctx context.Context, id string) (apikey.Record, error) {
	r, err := scanKey(s.lookup.QueryRowContext(ctx, id))
	return r, s.explain(err)
}

// Bounds of one statement about keys.
const (
	pageSize = 500
	maxIDs   = 5000 // SQLite compares each parameter's name with all before it
)

// Keys implements apikey.Registry. In the order of the ids it reads page by page, so that no
// statement is open while the caller is busy. Other orders are one statement.
func (s *Store) Keys(ctx context.Context, f apikey.Filter) iter.Seq2[apikey.Record, error] {
	if !isPaged(f) {
		return s.readKeys(ctx, f, "")
	}
	return func(yield func(apikey.Record, error) bool) {
		for after, full := "", true; full; {
			var page []apikey.Record
			for r, err := range s.readKeys(ctx, f, after) {
				if page, after = append(page, r), r.ID; err != nil {
					yield(r, err)
					return
				}
			}
			for _, r := range page {
				if !yield(r, nil) {
					return
				}
			}
			full = len(page) == pageSize
		}
	}
}

func (s *Store) readKeys(ctx context.Context, f apikey.Filter, after string) iter.Seq2[apikey.Record, error] {
	query, args := KeysQuery(f, after)
	return func(yield func(apikey.Record, error) bool) {
		for r, err := range queryKeys(ctx, s.db, query, args...) {
			if !yield(r, s.explain(err)) {
				return
			}
		}
	}
}

// queryKeys returns the records that a query selects, up to the first error.
func queryKeys(ctx context.Context, q querier, query string, args ...any) iter.Seq2[apikey.Record, error] {
	return func(yield func(apikey.Record, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		rows, err := q.QueryContext(ctx, query, args...)
		if err != nil {
			yield(apikey.Record{}, err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			r, err := scanKey(rows)
			if !yield(r, err) || err != nil {
				cancel() // otherwise Close reads the remaining rows
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(apikey.Record{}, err)
		}
	}
}

// ends is when an unrevoked key ends, 0 for never, exactly as in the index api_key_ends.
const ends = "CASE WHEN k.retires_at <> 0 AND (k.expires_at = 0 OR k.retires_at < k.expires_at) THEN k.retires_at ELSE k.expires_at END"

// KeysQuery returns the query for a page of keys after an id or, in another order than that
// of the ids, for all keys.
func KeysQuery(f apikey.Filter, after string) (query string, args []any) {
	query = "SELECT " + readColumns + ", COALESCE(u.last_at, 0), COALESCE(u.uses, 0) FROM api_key k LEFT JOIN key_use u ON u.key_id = k.id WHERE TRUE"
	where := func(condition string, values ...any) {
		for _, value := range values {
			args = append(args, value)
			condition = strings.Replace(condition, "?", fmt.Sprintf("$%d", len(args)), 1)
		}
		query += " AND " + condition
	}
	if n := len(f.IDs); n > 0 && n <= maxIDs {
		query, args = query+" AND k.id IN "+placeholders(n, n), anyOf(f.IDs)
	}
	if f.Owner != "" {
		where("k.owner = ?", f.Owner)
	}
	if f.Environment != "" {
		where("k.environment = ?", f.Environment)
	}
	if !f.EndsBefore.IsZero() {
		where("k.revoked_at = 0 AND (k.expires_at <> 0 OR k.retires_at <> 0) AND "+ends+" > ? AND "+ends+" < ?", apikey.Milliseconds(f.EndsAfter), apikey.Milliseconds(f.EndsBefore))
	}
	const expires = "CASE WHEN k.revoked_at <> 0 THEN k.revoked_at ELSE " + ends + " END"
	order := map[string]string{"expires": expires + " = 0, " + expires + ", ", "used": "COALESCE(u.last_at, 0) DESC, ", "owner": "k.owner, "}[f.Sort]
	if isPaged(f) {
		where("k.id > ?", after)
		return query + fmt.Sprintf(" ORDER BY k.id LIMIT %d", pageSize), args
	}
	return query + " ORDER BY " + order + "k.id", args
}

// isPaged reports whether the keys are read in the order of an index, so that each page
// costs the same.
func isPaged(f apikey.Filter) bool { return f.Sort == "" && f.EndsBefore.IsZero() }

func anyOf(ids []string) []any {
	values := make([]any, len(ids))
	for i, id := range ids {
		values[i] = id
	}
	return values
}

func prefixed(prefix, columns string) string {
	return prefix + strings.ReplaceAll(columns, ", ", ", "+prefix)
}

// ID implements apikey.Registry. It becomes a part of a file's name.
func (s *Store) ID(ctx context.Context) (id string, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT id FROM registry").Scan(&id)
	if err == nil && (len(id) < 32 || len(id) > 36 || strings.Trim(id, "0123456789abcdef-") != "") {
		return "", fmt.Errorf("%w: its id is invalid", apikey.ErrDamaged)
	}
	return id, s.explain(err)
}

// Pepper implements apikey.Registry.
func (s *Store) Pepper(ctx context.Context) (id string, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT pepper FROM registry").Scan(&id)
	return id, s.explain(err)
}

// Use implements apikey.Registry.
func (s *Store) Use(ctx context.Context, uses []apikey.Use) error {
	return s.retry(ctx, func() error {
		tx, err := s.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }()
		count, err := tx.PrepareContext(ctx, `INSERT INTO key_use (last_at, uses, key_id) SELECT $1, $2, id FROM api_key WHERE id = $3
			ON CONFLICT (key_id) DO UPDATE SET uses = key_use.uses + excluded.uses,
			last_at = CASE WHEN excluded.last_at > key_use.last_at THEN excluded.last_at ELSE key_use.last_at END`)
		if err != nil {
			return err
		}
		defer count.Close()
		for _, u := range uses {
			if _, err := count.ExecContext(ctx, apikey.Milliseconds(u.Last), u.Count, u.ID); err != nil {
				return err
			}
		}
		return tx.Commit()
	})
}

// Check implements apikey.Registry.
func (s *Store) Check(ctx context.Context) error {
	var result string
	err := s.db.QueryRowContext(ctx, s.dialect.Check).Scan(&result)
	if err == nil && result != "ok" {
		err = fmt.Errorf("%w: %s", apikey.ErrDamaged, sanitize.Line(result))
	}
	if err == nil {
		_, err = rotations(ctx, s.db, "new_id <> ''")
	}
	if err != nil {
		return s.explain(err)
	}
	for _, err := range s.Keys(ctx, apikey.Filter{}) {
		if err != nil {
			return err
		}
	}
	_, err = s.ID(ctx)
	return err
}

// Log implements apikey.Registry.
func (s *Store) Log(ctx context.Context, after int64, each func(apikey.Logged) error, ids ...string) (apikey.LogEnd, error) {
	var end apikey.LogEnd
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true, Isolation: s.dialect.Snapshot})
	if err != nil {
		return end, s.explain(err)
	}
	defer func() { _ = tx.Rollback() }()
	var hash []byte
	isWhole := after == 0 && len(ids) == 0
	err = tx.QueryRowContext(ctx, "SELECT h.seq, h.hash, (SELECT COUNT(*) FROM api_key WHERE $1), (SELECT COUNT(*) FROM revocation), r.pepper FROM log_head h, registry r", isWhole).
		Scan(&end.Head.Seq, &hash, &end.Keys, &end.Pending, &end.Pepper)
	copy(end.Head.Hash[:], hash)
	if err != nil {
		return end, s.explain(err)
	}
	var failed error
	call := func(l apikey.Logged) error {
		failed = each(l)
		return failed
	}
	query, args := LogQuery(after, ids)
	err = queryRows(ctx, tx, func(rows *sql.Rows) error {
		l, err := scanLogged(rows)
		if err == nil {
			err = call(l)
		}
		return err
	}, query, args...)
	if err == nil && isWhole {
		err = eachPending(ctx, tx, 0, call)
	}
	if failed != nil { // the caller's own error
		return end, failed
	}
	return end, s.explain(err)
}

// LogQuery returns the query for the entries after a sequence number, all or those of ids.
func LogQuery(after int64, ids []string) (query string, args []any) {
	query = "SELECT " + prefixed("a.", logColumns) + ", COALESCE(k.seq, 0), " + loggedColumns() + " FROM audit_log a LEFT JOIN api_key k ON k.id = a.key_id WHERE "
	if n := len(ids); n > 0 {
		query += "a.key_id IN " + placeholders(n, n) + " AND "
	}
	return query + fmt.Sprintf("a.seq > $%d ORDER BY a.seq", len(ids)+1), append(anyOf(ids), after)
}

const logColumns = "seq, at, actor, action, detail, key_id, key_sum, hash"

// loggedColumns is keyColumns for a row that an outer join may leave empty.
func loggedColumns() string {
	var b strings.Builder
	for column := range strings.SplitSeq(keyColumns, ", ") {
		nothing := "''"
		switch column {
		case "created_at", "expires_at", "retires_at", "revoked_at":
			nothing = "0"
		case "disabled":
			nothing = "FALSE"
		case "digest":
			nothing = "a.hash" // 32 bytes of the right type
		}
		fmt.Fprintf(&b, "COALESCE(k.%s, %s), ", column, nothing)
	}
	return b.String() + "0, 0"
}

func scanLogged(rows *sql.Rows) (apikey.Logged, error) {
	var l apikey.Logged
	var at int64
	var sum, hash []byte
	r, err := scanKey(rows, &l.Seq, &at, &l.Actor, &l.Action, &l.Detail, &l.KeyID, &sum, &hash, &l.RecordSeq)
	if err != nil {
		return l, err
	}
	l.At = apikey.FromMilliseconds(at)
	copy(l.KeySum[:], sum)
	copy(l.Hash[:], hash)
	if l.RecordSeq == l.Seq {
		l.Record = &r
	}
	return l, nil
}
