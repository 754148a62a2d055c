package session

import (
	"errors"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/secret"
)

func (f *fixture) access() *Token {
	f.t.Helper()
	token, err := f.Token(f.t.Context(), TokenOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	return token
}

func TestDropTokenDropsTheOneThatWasRefused(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	before := f.access()
	for _, other := range []string{"another", before.Value.Reveal() + "x"} {
		if err := f.DropToken(t.Context(), secret.New(other)); err != nil || f.access().Value != before.Value {
			t.Errorf("a token that is not ours was taken for the cached one: %v", err)
		}
	}
	if err := f.DropToken(t.Context(), before.Value); err != nil {
		t.Fatal(err)
	}
	after := f.access()
	if after.Value == before.Value || f.server.Count("token/refresh") != 1 {
		t.Error("the refused token is given out again")
	}
	// A process that heard of the refusal late does not undo the refresh of another.
	if err := f.DropToken(t.Context(), before.Value); err != nil || f.access().Value != after.Value {
		t.Errorf("a sibling's token was dropped: %v", err)
	}
	if err := f.DropToken(t.Context(), secret.Secret{}); err != nil || f.access().Value == after.Value {
		t.Errorf("whatever is there was kept: %v", err)
	}
}

func TestDropTokenKeepsTheOnlyOne(t *testing.T) {
	f := newFixture(t, authservertest.Options{NoRefreshToken: true})
	f.mustLogin()
	only := f.access()
	for _, other := range []secret.Secret{{}, secret.New("another")} {
		if err := f.DropToken(t.Context(), other); err != nil {
			t.Error(err)
		}
	}
	if err := f.DropToken(t.Context(), only.Value); !errors.Is(err, ErrLoginRequired) {
		t.Error(err)
	}
	if f.access().Value != only.Value {
		t.Error("it was dropped")
	}
}

func TestWhatIsKeptEndsWithTheLogin(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	value := secret.New("credentials")
	kept := func(what string, left time.Duration) secret.Secret {
		t.Helper()
		got, err := f.Kept(t.Context(), what, left)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if err := f.Keep(t.Context(), "a role", value, f.clock.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if kept("a role", 5*time.Minute) != value || !kept("another role", 0).IsZero() || !kept("a role", time.Hour).IsZero() {
		t.Error("what was kept is not what is given out")
	}
	clock := f.clock
	f.clock = clock.Add(56 * time.Minute)
	if !kept("a role", 5*time.Minute).IsZero() {
		t.Error("given out although it ends soon")
	}
	f.clock = clock
	f.mustLogin()
	if !kept("a role", 0).IsZero() {
		t.Error("a new login gives out what came of the old one")
	}
	if err := f.Keep(t.Context(), "a role", value, f.clock.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Logout(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Kept(t.Context(), "a role", 0); !errors.Is(err, ErrLoginRequired) || !got.IsZero() {
		t.Errorf("after logout: %v", err)
	}
}
