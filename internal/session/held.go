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

	// Open calls open, once for all who want the same at the same time.
	Open(ctx context.Context, name string, open func(context.Context) ([]byte, error)) ([]byte, error)
}

// heldRecord is what is held of a record: the head of a login that can refresh, so that
// its refresh token is read for a refresh alone, and all of one that cannot.
type heldRecord struct {
	Mark    filelock.Mark    `json:"mark"` // under which it was read
	Context seal.Context     `json:"context"`
	Backend string           `json:"backend"`
	Record  credstore.Record `json:"record"`
}

// peekRecord reads what peek needs, or gives what is held of it.
func (s *Session) peekRecord(ctx context.Context) (credstore.Record, error) {
	if s.Held == nil {
		return s.Store.Peek(ctx, s.context())
	}
	if held, ok := s.heldRecord(); ok {
		return held, nil
	}
	plain, err := s.Held.Open(ctx, s.Profile.Name, s.openRecord)
	if err != nil {
		return credstore.Record{}, err
	}
	defer clear(plain)
	var opened heldRecord
	if err := json.Unmarshal(plain, &opened); err != nil {
		return credstore.Record{}, err
	}
	if !s.isMine(opened) { // of a profile that was edited meanwhile
		return s.Store.Peek(ctx, s.context())
	}
	return opened.Record, nil
}

// openRecord reads a record, and has it held if nobody had its lock meanwhile: all who
// change one take it. A keyring may ask a person, so that the lock is not kept.
func (s *Session) openRecord(ctx context.Context) ([]byte, error) {
	var mark filelock.Mark
	if lock, err := filelock.TryAcquire(s.lockPath()); err == nil {
		mark = lock.Mark
		lock.Release()
	}
	stored, err := s.Store.Peek(ctx, s.context())
	if err != nil {
		return nil, err
	}
	if h, err := parseHead(stored.Head); err != nil || h.Refreshes {
		stored.Body = nil
	} else if stored, err = s.Store.Get(ctx, s.context()); err != nil {
		return nil, err
	}
	plain, err := json.Marshal(heldRecord{mark, s.context(), s.Store.Backend(), stored})
	if err != nil {
		return nil, err
	}
	if now, err := filelock.LastMark(s.lockPath()); err == nil && mark != 0 && now == mark {
		s.Held.Put(s.Profile.Name, plain)
	}
	return plain, nil
}

func (s *Session) isMine(held heldRecord) bool {
	return held.Context == s.context() && held.Backend == s.Store.Backend()
}

func (s *Session) heldRecord() (credstore.Record, bool) {
	mark, err := filelock.LastMark(s.lockPath())
	if err != nil {
		return credstore.Record{}, false
	}
	plain := s.Held.Get(s.Profile.Name)
	defer clear(plain)
	var held heldRecord
	if json.Unmarshal(plain, &held) != nil || held.Mark != mark || !s.isMine(held) {
		return credstore.Record{}, false
	}
	return held.Record, true
}
