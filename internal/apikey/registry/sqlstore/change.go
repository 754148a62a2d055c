package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/apikey"
)

// Change implements apikey.Registry. The lock on the row of audit_head serializes changes.
func (s *Store) Change(ctx context.Context, do func(apikey.Tx) error) error {
	return s.retry(ctx, func() error { return s.tryChange(ctx, do) })
}

func (s *Store) tryChange(ctx context.Context, do func(apikey.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	var hash []byte
	c := &change{ctx: ctx, tx: tx, parameters: s.dialect.Parameters}
	if err := tx.QueryRowContext(ctx, s.dialect.HeadForUpdate).Scan(&c.head.Seq, &hash); err != nil {
		return err
	}
	copy(c.head.Hash[:], hash)
	before := c.head
	if err := do(c); err != nil {
		return err
	}
	if c.head != before {
		if _, err := c.exec("UPDATE audit_head SET seq = $1, hash = $2", c.head.Seq, c.head.Hash[:]); err != nil {
			return err
		}
	}
	err = tx.Commit()
	if err != nil && s.dialect.Lost(err) && c.head != before {
		return s.settle(ctx, c.head, err)
	}
	return err
}

// errUnknownOutcome is a commit whose response was lost.
var errUnknownOutcome = fmt.Errorf("%w, and whether the change was made is not known", apikey.ErrUnavailable)

// settleWait bounds the wait for a database after a lost commit.
const settleWait = 10 * time.Second

// settle checks, by the change's last entry in the log, whether a commit without response
// succeeded.
func (s *Store) settle(ctx context.Context, head apikey.Head, lost error) error {
	deadline := time.Now().Add(settleWait)
	for {
		var hash []byte
		err := s.db.QueryRowContext(ctx, "SELECT hash FROM audit_log WHERE seq = $1", head.Seq).Scan(&hash)
		switch {
		case err == nil && bytes.Equal(hash, head.Hash[:]):
			return nil
		case err == nil, errors.Is(err, sql.ErrNoRows):
			return lost
		case time.Now().After(deadline):
			return errUnknownOutcome
		}
		select {
		case <-ctx.Done():
			return errUnknownOutcome
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// change is an apikey.Tx.
type change struct {
	ctx        context.Context
	tx         *sql.Tx
	head       apikey.Head
	parameters int // maximum per statement
}

func (c *change) exec(query string, args ...any) (sql.Result, error) {
	return c.tx.ExecContext(c.ctx, query, args...)
}

func (c *change) Key(id string) (apikey.Record, error) {
	return scanKey(c.tx.QueryRowContext(c.ctx, "SELECT "+keyColumns+", 0, 0 FROM api_key WHERE id = $1", id))
}

func (c *change) Insert(e apikey.Event, records []apikey.Record) ([]string, error) {
	existing, err := c.existing(records)
	if err != nil {
		return nil, err
	}
	var skipped []string
	var keys, entries []any
	for i := range records {
		r := &records[i]
		if before, known := existing[r.ID]; known {
			if before.pepper == r.Pepper && !before.digest.Equal(r.Digest) {
				return nil, fmt.Errorf("key %s is there already, with another digest", r.ID)
			}
			skipped = append(skipped, r.ID)
			continue
		}
		existing[r.ID] = keyHash{r.Digest, r.Pepper} // a duplicate in the batch is inserted once
		values, err := keyValues(r)
		if err != nil {
			return nil, err
		}
		entry := c.head.Next(e, r)
		keys = append(append(keys, values...), entry.Seq)
		entries = append(entries, entryValues(&entry)...)
	}
	if err := c.insertRows("INSERT INTO api_key ("+keyColumns+", seq) VALUES ", keyFields+1, keys); err != nil {
		return nil, err
	}
	return skipped, c.insertRows(insertEntries, entryFields, entries)
}

// insertRows inserts rows, as many per statement as its parameters allow. The statement is
// prepared once.
func (c *change) insertRows(insert string, width int, values []any) error {
	most := c.parameters / width * width
	if len(values) > most {
		statement, err := c.tx.PrepareContext(c.ctx, insert+placeholders(most, width))
		if err != nil {
			return err
		}
		defer statement.Close()
		for ; len(values) >= most; values = values[most:] {
			if _, err := statement.ExecContext(c.ctx, values[:most]...); err != nil {
				return err
			}
		}
	}
	if len(values) == 0 {
		return nil
	}
	_, err := c.exec(insert+placeholders(len(values), width), values...)
	return err
}

// keyHash is a key's hash with its pepper: hashes with different peppers are not
// comparable.
type keyHash struct {
	digest apikey.Digest
	pepper string
}

// existing returns the hashes of those records that are in the registry, by id.
func (c *change) existing(records []apikey.Record) (map[string]keyHash, error) {
	hashes := make(map[string]keyHash)
	for some := range slices.Chunk(records, c.parameters) {
		if err := c.addExisting(hashes, some); err != nil {
			return nil, err
		}
	}
	return hashes, nil
}

func (c *change) addExisting(hashes map[string]keyHash, records []apikey.Record) error {
	ids := make([]any, len(records))
	for i := range records {
		ids[i] = records[i].ID
	}
	rows, err := c.tx.QueryContext(c.ctx, "SELECT id, digest, pepper FROM api_key WHERE id IN "+placeholders(len(ids), len(ids)), ids...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var digest []byte
		var h keyHash
		if err := rows.Scan(&id, &digest, &h.pepper); err != nil {
			return err
		}
		copy(h.digest[:], digest)
		hashes[id] = h
	}
	return rows.Err()
}

// placeholders returns ($1,$2),($3,$4): count in all, width in each row.
func placeholders(count, width int) string {
	var b strings.Builder
	for i := range count {
		switch {
		case i == 0:
			b.WriteString("($")
		case i%width == 0:
			b.WriteString("),($")
		default:
			b.WriteString(",$")
		}
		b.WriteString(strconv.Itoa(i + 1))
	}
	return b.String() + ")"
}

func (c *change) Put(e apikey.Event, r apikey.Record) error {
	values, err := keyValues(&r)
	if err != nil {
		return err
	}
	entry := c.head.Next(e, &r)
	result, err := c.exec(`UPDATE api_key SET digest = $2, pepper = $3, owner = $4, environment = $5, scopes = $6, rate = $7, note = $8,
		metadata = $9, created_at = $10, expires_at = $11, disabled = $12, retires_at = $13, revoked_at = $14, predecessor = $15, destinations = $16,
		seq = $17 WHERE id = $1`, append(values, entry.Seq)...)
	if err != nil {
		return err
	}
	if changed, err := result.RowsAffected(); err != nil || changed != 1 {
		return errors.Join(apikey.ErrNotFound, err)
	}
	return c.log(&entry)
}

func (c *change) SetPepper(e apikey.Event, id string) error {
	if _, err := c.exec("UPDATE registry SET pepper = $1", id); err != nil {
		return err
	}
	entry := c.head.Next(e, nil)
	return c.log(&entry)
}

const (
	entryFields   = 8
	insertEntries = "INSERT INTO audit_log (" + logColumns + ") VALUES "
)

func entryValues(e *apikey.Entry) []any {
	return []any{e.Seq, apikey.Milliseconds(e.At), e.Actor, e.Action, e.Detail, e.KeyID, e.KeySum[:], e.Hash[:]}
}

func (c *change) log(e *apikey.Entry) error {
	return c.insertRows(insertEntries, entryFields, entryValues(e))
}

const rotationColumns = "new_id, old_id, phase, compromised, started_at, leased_until, arrived_at, due_at, deliveries"

// Rotations implements apikey.Registry.
func (s *Store) Rotations(ctx context.Context, old string) ([]apikey.Rotation, error) {
	list, err := rotations(ctx, s.db, "old_id = $1", old)
	return list, s.explain(err)
}

// OpenRotations implements apikey.Registry.
func (s *Store) OpenRotations(ctx context.Context) ([]apikey.Rotation, error) {
	list, err := rotations(ctx, s.db, "phase IN ('minted', 'delivering', 'checked')")
	return list, s.explain(err)
}

func (c *change) Rotations(old string) ([]apikey.Rotation, error) {
	return rotations(c.ctx, c.tx, "old_id = $1", old)
}

func (c *change) Due(now time.Time) ([]apikey.Rotation, error) {
	return rotations(c.ctx, c.tx, "phase = 'overlap' AND due_at <= $1", apikey.Milliseconds(now))
}

func rotations(ctx context.Context, q querier, where string, args ...any) ([]apikey.Rotation, error) {
	rows, err := q.QueryContext(ctx, "SELECT "+rotationColumns+" FROM rotation WHERE "+where+" ORDER BY started_at, new_id", args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []apikey.Rotation
	for rows.Next() {
		var r apikey.Rotation
		var started, leased, arrived, due int64
		var deliveries string
		if err := rows.Scan(&r.New, &r.Old, &r.Phase, &r.Compromised, &started, &leased, &arrived, &due, &deliveries); err != nil {
			return nil, err
		}
		r.StartedAt, r.LeasedUntil = apikey.FromMilliseconds(started), apikey.FromMilliseconds(leased)
		r.ArrivedAt, r.DueAt = apikey.FromMilliseconds(arrived), apikey.FromMilliseconds(due)
		if err := json.Unmarshal([]byte(deliveries), &r.Deliveries); err != nil {
			return nil, fmt.Errorf("the rotation of %.12q: %w: its deliveries are not JSON", r.Old, apikey.ErrDamaged)
		}
		if apikey.CheckID(r.Old) != nil || apikey.CheckID(r.New) != nil || !r.Phase.Known() {
			return nil, fmt.Errorf("the rotation of %.12q: %w", r.Old, apikey.ErrDamaged)
		}
		list = append(list, r)
	}
	return list, rows.Err()
}

func (c *change) PutRotation(r apikey.Rotation) error {
	deliveries, err := json.Marshal(r.Deliveries)
	if err != nil {
		return err
	}
	_, err = c.exec("INSERT INTO rotation ("+rotationColumns+`) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9) ON CONFLICT (new_id) DO UPDATE SET
		phase = excluded.phase, leased_until = excluded.leased_until, arrived_at = excluded.arrived_at, due_at = excluded.due_at,
		deliveries = excluded.deliveries`,
		r.New, r.Old, string(r.Phase), r.Compromised, apikey.Milliseconds(r.StartedAt), apikey.Milliseconds(r.LeasedUntil),
		apikey.Milliseconds(r.ArrivedAt), apikey.Milliseconds(r.DueAt), string(deliveries))
	return err
}
