package session

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/credstore"
)

type mapCache map[string][]byte

func (m mapCache) Get(name string) []byte        { return slices.Clone(m[name]) }
func (m mapCache) Put(name string, plain []byte) { m[name] = slices.Clone(plain) }

func (m mapCache) Open(ctx context.Context, _ string, open func(context.Context) ([]byte, error)) ([]byte, error) {
	return open(ctx)
}

// inAgent is the same login in a process that caches the records that it has read.
func (f *fixture) inAgent() (*Session, mapCache) {
	s, cache := *f.Session, mapCache{}
	s.AgentCache = cache
	return &s, cache
}

func (f *fixture) tokenOf(s *Session) string {
	f.t.Helper()
	token, err := s.Token(f.t.Context(), TokenOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	return token.Value.Reveal()
}

// emptied is the session without its storage: what it still knows, it has cached.
func (f *fixture) emptied(s *Session) *Session {
	without := *s
	without.Store = credstore.NewFile(credstore.FileOptions{DataDir: f.t.TempDir()})
	return &without
}

func TestToken_CachedRecordIsNotReread(t *testing.T) {
	for name, opts := range map[string]authservertest.Options{"refreshes": {}, "fixed": {NoRefreshToken: true}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, opts)
			f.mustLogin()
			s, cache := f.inAgent()
			first := f.tokenOf(s)
			if got := f.tokenOf(f.emptied(s)); got != first {
				t.Error("another token than the cached one")
			}
			for _, plain := range cache {
				if r, err := f.load(t.Context()); err != nil || !r.RefreshToken.IsZero() && bytes.Contains(plain, []byte(r.RefreshToken.Reveal())) {
					t.Errorf("the refresh token is cached; %v", err)
				}
			}
		})
	}
}

func TestToken_ChangedRecordIsReread(t *testing.T) {
	for name, opts := range map[string]authservertest.Options{"refreshes": {}, "fixed": {NoRefreshToken: true}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, opts)
			f.mustLogin()
			s, _ := f.inAgent()
			first := f.tokenOf(s)
			f.mustLogin()
			second := f.tokenOf(s)
			if second == first || second != f.token(TokenOptions{}) {
				t.Error("the token before the new login")
			}
			if err := f.Forget(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Token(t.Context(), TokenOptions{}); !errors.Is(err, ErrLoginRequired) {
				t.Errorf("after the logout: %v", err)
			}
		})
	}
}

// A process that has the lock may be stopped: a valid token is returned all the same, and
// no record is cached that may be old in a moment.
func TestF54_LockDelaysNoCachedToken(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	s, cache := f.inAgent()
	lock, err := f.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	start := time.Now()
	f.tokenOf(s)
	if took := time.Since(start); took > lockWait/2 || len(cache) != 0 {
		t.Errorf("it took %s, and %d are cached", took, len(cache))
	}
}
