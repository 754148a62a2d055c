package session

import (
	"context"
	"encoding/json"

	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/seal"
)

// Held keeps opened bytes under the name of a profile, for as long as it likes. Many
// goroutines may use it.
type Held interface {
	Get(name string) []byte // nil: it holds none
	Put(name string, plain []byte)
}

// heldRecord is what is held of a record: the head of a login that can refresh, so that
// its refresh token is read for a refresh alone, and all of one that cannot.
type heldRecord struct {
	Mark    filelock.Mark    `json:"mark"` // under which it was read
	Context seal.Context     `json:"context"`
	Record  credstore.Record `json:"record"`
}

// peekRecord reads what peek needs. All who change a record hold its lock, so that what
// was read under the last mark is what the storage has.
func (s *Session) peekRecord(ctx context.Context) (credstore.Record, error) {
	if s.Held == nil {
		return s.Store.Peek(ctx, s.context())
	}
	if held, ok := s.heldRecord(); ok {
		return held, nil
	}
	lock, err := filelock.TryAcquire(s.lockPath())
	if err != nil { // somebody may be changing it: what is read now may not be held
		return s.Store.Peek(ctx, s.context())
	}
	defer lock.Release()
	stored, err := s.Store.Peek(ctx, s.context())
	if err != nil {
		return stored, err
	}
	if h, err := parseHead(stored.Head); err != nil || h.Refreshes {
		stored.Body = nil
	} else if stored, err = s.Store.Get(ctx, s.context()); err != nil {
		return stored, err
	}
	plain, err := json.Marshal(heldRecord{lock.Mark, s.context(), stored})
	if err == nil {
		s.Held.Put(s.Profile.Name, plain)
	}
	return stored, err
}

func (s *Session) heldRecord() (credstore.Record, bool) {
	mark, err := filelock.LastMark(s.lockPath())
	if err != nil {
		return credstore.Record{}, false
	}
	var held heldRecord
	if json.Unmarshal(s.Held.Get(s.Profile.Name), &held) != nil || held.Mark != mark || held.Context != s.context() {
		return credstore.Record{}, false
	}
	return held.Record, true
}
