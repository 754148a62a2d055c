package sqlstore

import (
	"context"
	"database/sql"
	"sync"
)

// watch is the connection that Changed asks on, and what it knows.
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
	w := &s.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	head, err := s.headNow(ctx)
	if err != nil {
		w.drop()
		return nil, after, s.explain(err)
	}
	if head <= after {
		return nil, head, nil
	}
	rows, err := w.conn.QueryContext(ctx, "SELECT seq, key_id FROM audit_log WHERE seq > $1 ORDER BY seq LIMIT $2", after, most)
	if err != nil {
		w.drop()
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
	if err := rows.Err(); err != nil {
		return nil, after, s.explain(err)
	}
	return ids, last, nil
}

// headNow is the number of the log's last entry. It is read again only if the data
// version says that something was changed.
func (s *Store) headNow(ctx context.Context) (int64, error) {
	w := &s.watch
	fresh := w.conn == nil
	if fresh {
		conn, err := s.db.Conn(ctx)
		if err != nil {
			return 0, err
		}
		w.conn = conn
	}
	if s.dialect.DataVersion != "" {
		var version int64
		if err := w.conn.QueryRowContext(ctx, s.dialect.DataVersion).Scan(&version); err != nil {
			return 0, err
		}
		if !fresh && version == w.version {
			return w.head, nil
		}
		w.version = version
	}
	err := w.conn.QueryRowContext(ctx, "SELECT seq FROM audit_head").Scan(&w.head)
	return w.head, err
}
