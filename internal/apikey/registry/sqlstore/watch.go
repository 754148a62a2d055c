package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"sync"

	"github.com/fobcli/fob/internal/apikey"
)

// watcher polls for changes on its own connection, so that it never waits for other
// queries.
type watcher struct {
	mu   sync.Mutex
	conn *sql.Conn
}

func (w *watcher) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop()
}

func (w *watcher) drop() {
	if w.conn != nil {
		_ = w.conn.Close()
	}
	w.conn = nil
}

// querier is a connection, a transaction or a pool of connections.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// queryRows calls each for each row of a query.
func queryRows(ctx context.Context, q querier, each func(*sql.Rows) error, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Changed implements apikey.Registry.
func (s *Store) Changed(ctx context.Context, after int64, most int) ([]string, int64, error) {
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	ids, last, err := s.changed(ctx, after, most)
	if err != nil {
		s.watch.drop()
	}
	return ids, last, s.explain(err)
}

func (s *Store) watching(ctx context.Context) (querier, error) {
	if s.dialect.OneConnection {
		return s.db, nil
	}
	if s.watch.conn == nil {
		conn, err := s.db.Conn(ctx)
		if err != nil {
			return nil, err
		}
		s.watch.conn = conn
	}
	return s.watch.conn, nil
}

// changed selects the head of the log (kind 0) and the changes after a number in one query,
// to save a round trip.
func (s *Store) changed(ctx context.Context, after int64, most int) (ids []string, last int64, err error) {
	if s.dialect.Frozen && after < math.MaxInt64 { // MaxInt64 only asks for the last number
		return nil, 0, fmt.Errorf("%w: it is read-only, and changes would not be seen", apikey.ErrUnusable)
	}
	conn, err := s.watching(ctx)
	if err != nil {
		return nil, 0, err
	}
	var head int64
	err = queryRows(ctx, conn, func(rows *sql.Rows) error {
		var kind, seq int64
		var id string
		err := rows.Scan(&kind, &seq, &id)
		if kind == 0 {
			head = seq
			return err
		}
		last = max(last, seq)
		if id != "" {
			ids = append(ids, id)
		}
		return err
	}, `SELECT 0, seq, '' FROM log_head UNION ALL SELECT 1, seq, key_id FROM (
		SELECT seq, CASE WHEN action = '`+apikey.ActionRevokeAll+`' THEN '`+apikey.AllKeys+`' ELSE key_id END AS key_id FROM audit_log WHERE seq > $1 ORDER BY seq LIMIT $2) AS behind`, after, most)
	if last == 0 {
		last = head
	}
	return ids, last, err
}
