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

type heldInMap map[string][]byte

func (m heldInMap) Get(name string) []byte        { return m[name] }
func (m heldInMap) Put(name string, plain []byte) { m[name] = slices.Clone(plain) }

func (m heldInMap) Open(ctx context.Context, _ string, open func(context.Context) ([]byte, error)) ([]byte, error) {
	return open(ctx)
}

// holding is the same login in a process that holds what it has read.
func (f *fixture) holding() (*Session, heldInMap) {
	keeper := *f.Session
	held := heldInMap{}
	keeper.Held = held
	return &keeper, held
}

func (f *fixture) tokenOf(s *Session) string {
	f.t.Helper()
	token, err := s.Token(f.t.Context(), TokenOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	return token.Value.Reveal()
}

// emptied is the session without its storage: what it still knows, it holds.
func (f *fixture) emptied(s *Session) *Session {
	without := *s
	without.Store = credstore.NewFile(credstore.FileOptions{DataDir: f.t.TempDir()})
	return &without
}

func TestARecordThatIsHeldIsNotReadAgain(t *testing.T) {
	for name, opts := range map[string]authservertest.Options{"refreshes": {}, "fixed": {NoRefreshToken: true}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, opts)
			f.mustLogin()
			s, held := f.holding()
			first := f.tokenOf(s)
			if got := f.tokenOf(f.emptied(s)); got != first {
				t.Error("another token than the one that is held")
			}
			for _, plain := range held {
				if r, err := f.load(t.Context()); err != nil || !r.RefreshToken.IsZero() && bytes.Contains(plain, []byte(r.RefreshToken.Reveal())) {
					t.Errorf("the refresh token is held; %v", err)
				}
			}
		})
	}
}

func TestWhatASiblingChangedIsNotGivenFromMemory(t *testing.T) {
	for name, opts := range map[string]authservertest.Options{"refreshes": {}, "fixed": {NoRefreshToken: true}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, opts)
			f.mustLogin()
			s, _ := f.holding()
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

// Who holds the lock may be stopped: a good token is given all the same, and nothing is
// held that may be old in a moment.
func TestF54ALockThatIsHeldDelaysNoCachedToken(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	s, held := f.holding()
	lock, err := f.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	start := time.Now()
	f.tokenOf(s)
	if took := time.Since(start); took > lockWait/2 || len(held) != 0 {
		t.Errorf("it took %s, and %d are held", took, len(held))
	}
}
