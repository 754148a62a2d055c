// Package session is one login's life: it stores what a login brought, prints
// access tokens that are fresh, refreshes them under a lock that all processes
// share, and ends the login at the server and on this machine.
//
// A login is one sealed record in the credential store. The access tokens of a
// login that can refresh are kept apart, in a cache file sealed under a key from
// the record: losing the cache costs one request, losing the record a login.
package session

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/seal"
)

// ErrLoginRequired means that only a new login helps: there is none, or the
// server has ended it. No other failure is ever reported as this one.
var ErrLoginRequired = errors.New("login required")

// lockWait bounds the wait for another process that refreshes the same login.
const lockWait = 30 * time.Second

// Session is the login of one profile. It holds no state between calls, so
// that any number of processes may work on the same login.
type Session struct {
	Profile config.Profile // with its provider's preset filled in
	Paths   config.Paths
	Store   *credstore.Store
	HTTP    *http.Client
	Clock   Clock
	Warn    func(string) // shows one line to the user

	// Current reports, once the lock is held, whether the profile's login still lies
	// in Store: nil or ErrMoved. A nil func is not asked.
	Current func() error

	AgentCache AgentCache // of a process that outlives one call; nil: each call reads the record
}

// context is what the login's record is bound to: an edited profile, or a
// record moved to another one, does not open.
func (s *Session) context() seal.Context {
	return seal.Context{
		Kind:     "login",
		Profile:  s.Profile.Name,
		Issuer:   s.Profile.Authority(),
		ClientID: s.Profile.ClientID,
	}
}

// lock takes the login's lock. Its scope is the record's: the lock file lies
// beside the data, so that two data folders never share either.
func (s *Session) lock(ctx context.Context) (*filelock.Lock, error) {
	lock, err := filelock.Acquire(ctx, s.lockPath(), lockWait)
	if err != nil || s.Current == nil {
		return lock, err
	}
	if err := s.Current(); err != nil {
		lock.Release()
		return nil, err
	}
	return lock, nil
}

// locked calls do under the login's lock.
func (s *Session) locked(ctx context.Context, do func() error) error {
	lock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Release()
	return do()
}

// lockRecord takes the login's lock and reads its record, as load does, or loadAny.
func (s *Session) lockRecord(ctx context.Context, load func(context.Context) (*record, error)) (*filelock.Lock, *record, error) {
	lock, err := s.lock(ctx)
	if err != nil {
		return nil, nil, err
	}
	r, err := load(ctx)
	if err != nil {
		lock.Release()
	}
	return lock, r, err
}

func (s *Session) lockPath() string {
	return filepath.Join(s.Paths.Data, "locks", s.Profile.Name+".lock")
}

// load reads the login's record. A missing one is ErrLoginRequired; a keyring
// that is locked, absent or damaged keeps its own error.
func (s *Session) load(ctx context.Context) (*record, error) {
	r, err := s.loadAny(ctx)
	if err == nil && r.LoggedOut {
		return nil, s.loadError(credstore.ErrNotFound)
	}
	return r, err
}

// loadAny is load, also for what a logout has left of a registered client.
func (s *Session) loadAny(ctx context.Context) (*record, error) {
	stored, err := s.Store.Get(ctx, s.context())
	if err != nil {
		return nil, s.loadError(err)
	}
	return parseRecord(stored)
}

// peek reads the head of the login's record, as load does all of it, and the rest
// where that costs nothing.
func (s *Session) peek(ctx context.Context) (head, credstore.Record, error) {
	stored, err := s.peekRecord(ctx)
	if err != nil {
		return head{}, stored, s.loadError(err)
	}
	h, err := parseHead(stored.Head)
	if err == nil && h.LoggedOut {
		err = s.loadError(credstore.ErrNotFound)
	}
	return h, stored, err
}

func (s *Session) loadError(err error) error {
	if errors.Is(err, credstore.ErrNotFound) {
		return fmt.Errorf("profile %q is not logged in: %w", s.Profile.Name, ErrLoginRequired)
	}
	return fmt.Errorf("reading the login of profile %q: %w", s.Profile.Name, err)
}

// save writes the login's record.
func (s *Session) save(ctx context.Context, r *record) error {
	r.SavedAt = s.Clock.Now().UTC()
	stored, err := r.marshal()
	if err != nil {
		return err
	}
	if err := s.Store.Set(ctx, s.context(), stored); err != nil {
		return fmt.Errorf("saving the login of profile %q: %w", s.Profile.Name, err)
	}
	return nil
}
