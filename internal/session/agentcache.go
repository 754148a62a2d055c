package session

import (
	"context"
	"encoding/json"

	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/seal"
)

// AgentCache is the memory of a process that outlives one call: bytes under the name of a
// profile, which it may forget at any time. It is safe for concurrent use.
type AgentCache interface {
	Get(name string) []byte // nil: nothing is cached
	Put(name string, plain []byte)

	// Open calls open; concurrent calls for one name share one call.
	Open(ctx context.Context, name string, open func(context.Context) ([]byte, error)) ([]byte, error)
}

// agentRecord is what is cached of a record: all of it if the login cannot refresh, else
// only its head, so that the refresh token is read for a refresh and at no other time.
type agentRecord struct {
	Mark    filelock.Mark    `json:"mark"` // under which it was read
	Context seal.Context     `json:"context"`
	Backend string           `json:"backend"`
	Record  credstore.Record `json:"record"`
}

// peekRecord reads what peek needs from the cache, else from the storage.
func (s *Session) peekRecord(ctx context.Context) (credstore.Record, error) {
	if s.AgentCache == nil {
		return s.Store.Peek(ctx, s.context())
	}
	if mark, err := filelock.LastMark(s.lockPath()); err == nil {
		if cached, ok := s.parseAgentRecord(s.AgentCache.Get(s.Profile.Name)); ok && cached.Mark == mark {
			return cached.Record, nil
		}
	}
	plain, err := s.AgentCache.Open(ctx, s.Profile.Name, s.readForCache)
	if err != nil {
		return credstore.Record{}, err
	}
	opened, ok := s.parseAgentRecord(plain)
	if !ok { // of a profile that was edited meanwhile
		return s.Store.Peek(ctx, s.context())
	}
	return opened.Record, nil
}

// readForCache reads a record, and caches it unless another process had the lock meanwhile:
// every change to a record takes it. A keyring may ask the user, so the lock is released
// first.
func (s *Session) readForCache(ctx context.Context) ([]byte, error) {
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
	plain, err := json.Marshal(agentRecord{mark, s.context(), s.Store.Backend(), stored})
	if err != nil {
		return nil, err
	}
	if now, err := filelock.LastMark(s.lockPath()); err == nil && mark != 0 && now == mark {
		s.AgentCache.Put(s.Profile.Name, plain)
	}
	return plain, nil
}

func (s *Session) parseAgentRecord(plain []byte) (r agentRecord, ok bool) {
	defer clear(plain)
	ok = json.Unmarshal(plain, &r) == nil && r.Context == s.context() && r.Backend == s.Store.Backend()
	return r, ok
}
