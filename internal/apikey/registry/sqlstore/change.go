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

// Change implements apikey.Registry. The lock on the row of log_head serializes changes.
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
		if _, err := c.exec("UPDATE log_head SET seq = $1, hash = $2", c.head.Seq, c.head.Hash[:]); err != nil {
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
func errUnknownOutcome() error {
	return fmt.Errorf("%w, and whether the change was made is not known", apikey.ErrUnavailable)
}

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
			return errUnknownOutcome()
		}
		select {
		case <-ctx.Done():
			return errUnknownOutcome()
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
	return scanKey(c.tx.QueryRowContext(c.ctx, selectKeys+"id = $1", id))
}

func (c *change) Insert(e apikey.Event, records []apikey.Record) (skipped []string, err error) {
	existing := make(map[string]apikey.Record)
	for some := range slices.Chunk(records, c.parameters) {
		ids := make([]any, len(some))
		for i := range some {
			ids[i] = some[i].ID
		}
		for r, err := range queryKeys(c.ctx, c.tx, selectKeys+"id IN "+placeholders(len(ids), len(ids)), ids...) {
			if err != nil {
				return nil, err
			}
			existing[r.ID] = r
		}
	}
	var added []apikey.Record
	for _, r := range records {
		before, known := existing[r.ID]
		switch {
		case known && before.Pepper == r.Pepper && !before.Digest.Equal(r.Digest): // with different peppers, they are not comparable
			return nil, fmt.Errorf("key %s already exists with another digest", r.ID)
		case known:
			skipped = append(skipped, r.ID)
		default:
			existing[r.ID] = r // a duplicate in the batch is inserted once
			added = append(added, r)
		}
	}
	return skipped, c.write(e, added, "")
}

func (c *change) Put(e apikey.Event, records ...apikey.Record) error {
	replace := " ON CONFLICT (id) DO UPDATE SET seq = excluded.seq"
	for column := range strings.SplitSeq(strings.TrimPrefix(keyColumns, "id, "), ", ") {
		replace += ", " + column + " = excluded." + column
	}
	return c.write(e, records, replace)
}

// write inserts records with an entry each. conflict is what to do with existing ones.
func (c *change) write(e apikey.Event, records []apikey.Record, conflict string) error {
	var keys, entries []any
	for i := range records {
		values, err := keyValues(&records[i])
		if err != nil {
			return err
		}
		entry := c.head.Next(e, records[i].ID, records[i].Sum())
		keys = append(append(keys, values...), entry.Seq)
		entries = append(entries, entryValues(&entry)...)
	}
	if err := c.insertRows("INSERT INTO api_key ("+keyColumns+", seq) VALUES ", keyFields+1, keys, conflict); err != nil {
		return err
	}
	return c.insertRows(insertEntries, entryFields, entries, "")
}

// insertRows inserts rows, as many per statement as its parameters allow. The statement is
// prepared once.
func (c *change) insertRows(insert string, width int, values []any, conflict string) error {
	most := c.parameters / width * width
	if len(values) > most {
		statement, err := c.tx.PrepareContext(c.ctx, insert+placeholders(most, width)+conflict)
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
	_, err := c.exec(insert+placeholders(len(values), width)+conflict, values...)
	return err
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

func (c *change) RevokeAll(e apikey.Event, ids []string) (count int, err error) {
	seq := c.head.Seq + 1
	for some := range slices.Chunk(ids, c.parameters) {
		query := fmt.Sprintf("INSERT INTO revocation (key_id, seq, at) SELECT id, %d, %d FROM api_key WHERE revoked_at = 0 AND id IN %s ON CONFLICT DO NOTHING",
			seq, apikey.Milliseconds(e.At), placeholders(len(some), len(some)))
		if _, err := c.exec(query, anyOf(some)...); err != nil {
			return 0, err
		}
	}
	var sum apikey.Digest
	err = eachPending(c.ctx, c.tx, seq, func(l apikey.Logged) error {
		count, sum = count+1, sum.With(l.KeyID)
		return nil
	})
	if err != nil || count == 0 {
		return 0, err
	}
	e.Detail = fmt.Sprintf("%d: %s", count, e.Detail)
	return count, c.log(e, sum)
}

// eachPending calls each for the keys of bulk revocations since an entry, in the order of Settle.
func eachPending(ctx context.Context, q querier, from int64, each func(apikey.Logged) error) error {
	return queryRows(ctx, q, func(rows *sql.Rows) error {
		l, at := apikey.Logged{IsPending: true}, int64(0)
		if err := rows.Scan(&l.Seq, &at, &l.KeyID); err != nil {
			return err
		}
		l.At = apikey.FromMilliseconds(at)
		return each(l)
	}, "SELECT seq, at, key_id FROM revocation WHERE seq >= $1 ORDER BY seq, key_id", from)
}

// Settle takes time and reason from the log, and refuses records that were edited since
// their last entry: a new entry would hide that.
func (c *change) Settle(e apikey.Event, most int) (count int, err error) {
	var seq, at int64
	err = c.tx.QueryRowContext(c.ctx, `SELECT a.seq, a.at, a.detail FROM revocation v JOIN audit_log a ON a.seq = v.seq
		WHERE a.action = $1 AND a.at > 0 ORDER BY a.seq LIMIT 1`, apikey.ActionRevokeAll).Scan(&seq, &at, &e.Detail)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	_, e.Detail, _ = strings.Cut(e.Detail, ": ") // after their number
	const some = "(SELECT key_id FROM revocation WHERE seq = $1 ORDER BY key_id LIMIT $2)"
	var records []apikey.Record
	err = queryRows(c.ctx, c.tx, func(rows *sql.Rows) error {
		var last int64
		var logged []byte
		r, err := scanKey(rows, &last, &logged)
		if sum := r.Sum(); err == nil && !bytes.Equal(sum[:], logged) {
			err = &apikey.TamperedError{Reason: fmt.Sprintf("the record of key %.12q does not match entry %d of the audit log", r.ID, last)}
		}
		r.Revoke(apikey.FromMilliseconds(at)) // ends an overlap too
		records = append(records, r)
		return err
	}, "SELECT k.seq, (SELECT key_sum FROM audit_log a WHERE a.seq = k.seq AND a.key_id = k.id), "+prefixed("k.", keyColumns)+
		", 0, 0 FROM api_key k WHERE k.id IN "+some+" ORDER BY k.id", seq, most)
	if err == nil {
		err = c.Put(e, records...)
	}
	if err == nil {
		_, err = c.exec("DELETE FROM revocation WHERE key_id IN "+some, seq, most)
	}
	return len(records), err
}

func (c *change) SetPepper(e apikey.Event, id string) error {
	if _, err := c.exec("UPDATE registry SET pepper = $1", id); err != nil {
		return err
	}
	return c.log(e, apikey.Digest{})
}

// log adds an entry about no single key.
func (c *change) log(e apikey.Event, sum apikey.Digest) error {
	entry := c.head.Next(e, "", sum)
	return c.insertRows(insertEntries, entryFields, entryValues(&entry), "")
}

const (
	entryFields   = 8
	insertEntries = "INSERT INTO audit_log (" + logColumns + ") VALUES "
)

func entryValues(e *apikey.Entry) []any {
	return []any{e.Seq, apikey.Milliseconds(e.At), e.Actor, e.Action, e.Detail, e.KeyID, e.KeySum[:], e.Hash[:]}
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

func rotations(ctx context.Context, q querier, where string, args ...any) (list []apikey.Rotation, err error) {
	err = queryRows(ctx, q, func(rows *sql.Rows) error {
		var r apikey.Rotation
		var started, leased, arrived, due int64
		var deliveries string
		if err := rows.Scan(&r.New, &r.Old, &r.Phase, &r.Compromised, &started, &leased, &arrived, &due, &deliveries); err != nil {
			return err
		}
		r.StartedAt, r.LeasedUntil = apikey.FromMilliseconds(started), apikey.FromMilliseconds(leased)
		r.ArrivedAt, r.DueAt = apikey.FromMilliseconds(arrived), apikey.FromMilliseconds(due)
		if err := json.Unmarshal([]byte(deliveries), &r.Deliveries); err != nil {
			return fmt.Errorf("the rotation of %.12q: %w: its deliveries are not JSON", r.Old, apikey.ErrDamaged)
		}
		if apikey.CheckID(r.Old) != nil || apikey.CheckID(r.New) != nil || !r.Phase.Known() {
			return fmt.Errorf("the rotation of %.12q: %w", r.Old, apikey.ErrDamaged)
		}
		list = append(list, r)
		return nil
	}, "SELECT "+rotationColumns+" FROM rotation WHERE "+where+" ORDER BY started_at, new_id", args...)
	return list, err
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
