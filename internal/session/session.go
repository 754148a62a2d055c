// Package session manages logins: it stores the result of a login, returns fresh access
// tokens, refreshes them under a lock that all processes share, and ends the login at the
// server and on this machine.
//
// A login is one sealed record in the credential store. The access tokens of a login that
// can refresh are in cache files, sealed under a key from the record: losing a cache costs
// a request, losing the record a login.
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
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/secret"
)

// ErrLoginRequired means that only a new login helps: there is none, or the server has ended
// it. No other failure is reported as this one. It is wrapped with %.0w, without its text:
// the text before it names what is required.
var ErrLoginRequired = errors.New("login required")

// lockWait limits the wait for another process that refreshes the same login.
const lockWait = 30 * time.Second

// Session is the login of one profile. It has no state between calls, so that any number of
// processes may use the same login.
type Session struct {
	Profile config.Profile // with its provider's preset filled in
	Paths   config.Paths
	Store   *credstore.Store
	HTTP    *http.Client
	Clock   Clock
	Warn    func(string) // prints one line

	// Assert returns the assertion of another profile's login for a server and a target, with
	// the grant config.GrantIDJAG.
	Assert func(ctx context.Context, issuer string, want oauth.Target) (secret.Secret, error)

	// Current is called under the lock, and returns ErrMoved if the login is no longer in
	// Store. It may be nil.
	Current func() error

	AgentCache AgentCache // of a process that outlives one call; nil: each call reads the record
}

// context is what the login's record is bound to: it does not open for an edited or another
// profile.
func (s *Session) context() seal.Context {
	return seal.Context{
		Kind:     "login",
		Profile:  s.Profile.Name,
		Issuer:   s.Profile.Authority(),
		ClientID: s.Profile.ClientID,
	}
}

// lock takes the login's lock. The lock file is next to the data, so that data folders
// share no locks.
func (s *Session) lock(ctx context.Context) (*filelock.Lock, error) { return s.Entry().Acquire(ctx) }

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

// load reads the login's record. A missing one is ErrLoginRequired; a keyring that is locked,
// absent or damaged returns its own error.
func (s *Session) load(ctx context.Context) (*record, error) {
	r, err := s.loadAny(ctx)
	if err == nil && r.LoggedOut {
		return nil, s.loadError(credstore.ErrNotFound)
	}
	return r, err
}

// loadAny is load, also for a registered client that is left after a logout.
func (s *Session) loadAny(ctx context.Context) (*record, error) { return s.loadAs(ctx, parseRecord) }

func (s *Session) loadAs(ctx context.Context, parse func(credstore.Record) (*record, error)) (*record, error) {
	stored, err := s.Store.Get(ctx, s.context())
	if err != nil {
		return nil, s.loadError(err)
	}
	return parse(stored)
}

// peek reads the head of the login's record, and the body if that needs no further read.
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
		return fmt.Errorf("profile %q is not logged in%.0w", s.Profile.Name, ErrLoginRequired)
	}
	return fmt.Errorf("reading the login of profile %q: %w", s.Profile.Name, err)
}

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

// Clock is the current time and the machine's uptime.
type Clock struct {
	Now    func() time.Time
	Uptime func() Uptime
}

// SystemClock is the machine's clock. Its times have no monotonic reading, which would stop
// while a laptop sleeps.
func SystemClock() Clock {
	return Clock{Now: func() time.Time { return time.Now().Round(0) }, Uptime: systemUptime}
}

// Uptime is the time since a boot, including sleep, which cannot be set. Readings of one boot
// can be compared. The zero value is unknown.
type Uptime struct {
	Boot string        `json:"boot"` // names the boot
	Time time.Duration `json:"time"` // nanoseconds since then
}

// clockTolerance is how far the time may be before an earlier one, because clocks are adjusted.
const clockTolerance = 5 * time.Second

// since returns how long ago a moment was, by the clock that says longer: the time may have
// been set back, and the uptime stops in a paused virtual machine. It is unknown if the
// time is before the moment and the machine was rebooted since.
func (c Clock) since(moment time.Time, up Uptime) (age time.Duration, known bool) {
	age = c.Now().Sub(moment)
	now := c.Uptime()
	if up.Boot != "" && now.Boot == up.Boot {
		return max(age, now.Time-up.Time), true
	}
	return max(age, 0), age >= -clockTolerance
}
