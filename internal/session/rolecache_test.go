package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
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

func TestDropToken_DropsOnlyTheRefusedToken(t *testing.T) {
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

func TestDropToken_KeepsTheTokenOfALoginThatCannotRefresh(t *testing.T) {
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

func TestRoleCredentials_ExpireWithTheLogin(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	asked := 0
	credentials := func(key string, ttl time.Duration, fresh bool) string {
		t.Helper()
		got, err := f.RoleCredentials(t.Context(), Role{Key: key, MinTTL: ttl, ForceRefresh: fresh, Fetch: func(context.Context) (secret.Secret, time.Time, error) {
			asked++
			return secret.New(fmt.Sprintf("%s, %d", key, asked)), f.clock.Add(time.Hour), nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		return got.Reveal()
	}
	const reserve = 5 * time.Minute
	start := f.clock
	for i, step := range []struct {
		key   string
		after time.Duration
		fresh bool
		want  string
	}{
		{"a role", 0, false, "a role, 1"},
		{"a role", 54 * time.Minute, false, "a role, 1"},
		{"another", 54 * time.Minute, false, "another, 2"},
		{"a role", 56 * time.Minute, false, "a role, 3"}, // it would have ended soon
		{"a role", 56 * time.Minute, true, "a role, 4"},
		{"a role", 56 * time.Minute, false, "a role, 4"},
	} {
		f.clock = start.Add(step.after)
		if got := credentials(step.key, reserve, step.fresh); got != step.want {
			t.Errorf("step %d: %q, not %q", i, got, step.want)
		}
	}
	f.mustLogin()
	if got := credentials("a role", 0, false); got != "a role, 5" {
		t.Errorf("a new login gives out what came of the old one: %q", got)
	}
	if _, err := f.Logout(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	got, err := f.RoleCredentials(t.Context(), Role{Key: "a role", Fetch: func(context.Context) (secret.Secret, time.Time, error) {
		t.Error("the service is asked without a login")
		return secret.Secret{}, time.Time{}, nil
	}})
	if !errors.Is(err, ErrLoginRequired) || !got.IsZero() {
		t.Errorf("after logout: %v", err)
	}
}

func TestRoleCredentials_AreFetchedOnceForManyCallers(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	var asked atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			got, err := f.RoleCredentials(t.Context(), Role{Key: "a role", Fetch: func(ctx context.Context) (secret.Secret, time.Time, error) {
				_, err := f.Token(ctx, TokenOptions{ForceRefresh: true}) // takes the login's lock
				return secret.New(fmt.Sprint(asked.Add(1))), f.clock.Add(time.Hour), err
			}})
			if err != nil || got.Reveal() != "1" {
				t.Errorf("%q, %v", got.Reveal(), err)
			}
		})
	}
	wg.Wait()
	if n := f.server.Count("token/refresh"); asked.Load() != 1 || n != 1 {
		t.Errorf("asked %d times, %d refreshes", asked.Load(), n)
	}
}
