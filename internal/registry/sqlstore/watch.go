package sqlstore

import (
	"context"
	"database/sql"
	"sync"
)

// watch is the connection that tells whether anything was changed, and what it said.
type watch struct {
	mu      sync.Mutex
	conn    *sql.Conn
	version int64
	head    int64 // of the log, when version was read
}

func (w *watch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop()
}

func (w *watch) drop() {
	if w.conn != nil {
		_ = w.conn.Close()
	}
	w.conn = nil
}

// Changed implements apikey.Registry.
func (s *Store) Changed(ctx context.Context, after int64, most int) ([]string, int64, error) {
	head, err := s.headNow(ctx)
	if err != nil || head <= after {
		return nil, max(head, 0), s.explain(err)
	}
	rows, err := s.db.QueryContext(ctx, "SELECT seq, key_id FROM audit_log WHERE seq > $1 ORDER BY seq LIMIT $2", after, most)
	if err != nil {
		return nil, after, s.explain(err)
	}
	defer rows.Close()
	var ids []string
	last := after
	for rows.Next() {
		var id string
		if err := rows.Scan(&last, &id); err != nil {
			return nil, after, s.explain(err)
		}
		if id != "" {
			ids = append(ids, id)
		}
	}
	return ids, last, s.explain(rows.Err())
}

// headNow is the number of the log's last entry.
func (s *Store) headNow(ctx context.Context) (head int64, err error) {
	const ask = "SELECT seq FROM audit_head"
	if s.dialect.DataVersion == "" {
		err = s.db.QueryRowContext(ctx, ask).Scan(&head)
		return head, err
	}
	w := &s.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conn == nil {
		if w.conn, err = s.db.Conn(ctx); err != nil {
			return 0, err
		}
		w.version = -1
	}
	var version int64
	err = w.conn.QueryRowContext(ctx, s.dialect.DataVersion).Scan(&version)
	if err == nil && version != w.version { // only then can the head be another
		err = w.conn.QueryRowContext(ctx, ask).Scan(&w.head)
		w.version = version
	}
	if err != nil {
		w.drop()
	}
	return w.head, err
}
