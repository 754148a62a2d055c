package session

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/oauth"
)

func TestATokenIsNotPrintedAfterItsEndWhateverTheClockSays(t *testing.T) {
	for name, test := range map[string]struct {
		time, uptime time.Duration // how far each clock goes on
		boot         string
		refreshed    bool
	}{
		"nothing happened":                      {30 * time.Minute, 30 * time.Minute, "one", false},
		"set back by an hour":                   {10 * time.Minute, 70 * time.Minute, "one", true},
		"set back to before the token":          {-time.Hour, 30 * time.Minute, "one", false},
		"set back, and the token has ended":     {-time.Hour, 70 * time.Minute, "one", true},
		"slept for two hours":                   {2 * time.Hour, 2 * time.Hour, "one", true},
		"a virtual machine that was paused":     {2 * time.Hour, time.Minute, "one", true},
		"booted since":                          {30 * time.Minute, time.Minute, "two", false},
		"booted since, and the token has ended": {2 * time.Hour, time.Minute, "two", true},
		"booted with a clock that was set back": {-time.Hour, time.Minute, "two", true},
		"the clock was nudged":                  {-time.Second, time.Minute, "two", false},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, authservertest.Options{})
			f.uptime = Uptime{Boot: "one", Time: time.Hour}
			f.mustLogin()
			f.clock = f.clock.Add(test.time)
			f.uptime = Uptime{Boot: test.boot, Time: f.uptime.Time + test.uptime}
			if test.boot != "one" {
				f.uptime.Time = test.uptime
			}
			f.token(TokenOptions{})
			if got := f.server.Count("token/refresh") == 1; got != test.refreshed {
				t.Errorf("refreshed: %v", got)
			}
		})
	}
}

// The clock was a year ahead when the token was issued, and is right again.
func TestToken_IssuedInTheFuture(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for name, test := range map[string]struct {
		before, after Uptime
		refreshes     int
	}{
		"the uptime vouches for it":   {Uptime{"one", time.Hour}, Uptime{"one", time.Hour + 10*time.Minute}, 0},
		"it has ended":                {Uptime{"one", time.Hour}, Uptime{"one", 3 * time.Hour}, 1},
		"nothing vouches after boots": {Uptime{"one", time.Hour}, Uptime{"two", time.Minute}, 1},
		"nothing vouches for it":      {Uptime{}, Uptime{}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, authservertest.Options{})
			right := f.clock
			f.clock, f.uptime = right.Add(year), test.before
			f.mustLogin()
			f.clock, f.uptime = right.Add(10*time.Minute), test.after
			token, err := f.Token(t.Context(), TokenOptions{})
			if err != nil || f.server.Count("token/refresh") != test.refreshes {
				t.Fatalf("%d refreshes, %v", f.server.Count("token/refresh"), err)
			}
			if left := token.ExpiresAt.Sub(f.clock); left <= 0 || left > 2*time.Hour {
				t.Errorf("it expires in %s", left)
			}
			if left := f.Status(t.Context()).AccessExpiresAt.Sub(f.clock); left <= 0 || left > 2*time.Hour {
				t.Errorf("its status: it expires in %s", left)
			}
		})
	}
}

func TestTheSystemClock(t *testing.T) {
	c := SystemClock()
	before := c.Uptime()
	if age, known := c.since(c.Now().Add(-time.Minute), before); !known || age < time.Minute || age > time.Hour {
		t.Errorf("a minute ago is %s ago, %v", age, known)
	}
	if after := c.Uptime(); after.Boot != before.Boot || after.Time < before.Time {
		t.Errorf("%+v, then %+v", before, after)
	}
}

// The id_token of a login is dated by the server's clock, and judged by it.
func TestALoginOnAMachineWhoseClockIsWrong(t *testing.T) {
	for _, wrong := range []time.Duration{-3 * time.Hour, 3 * time.Hour} {
		f := newFixture(t, authservertest.Options{})
		f.clock = f.clock.Add(wrong)
		f.mustLogin()
		f.token(TokenOptions{})
		if f.server.Count("token/refresh") != 0 {
			t.Errorf("%s: the new token is not used", wrong)
		}
		// So is that of a cached id_token, which names its end by the server's clock.
		f.token(TokenOptions{WantIDToken: true})
		if f.server.Count("token/refresh") != 0 {
			t.Errorf("%s: the new id_token is not used", wrong)
		}
		f.clock = f.clock.Add(2 * time.Hour)
		f.token(TokenOptions{WantIDToken: true})
		if f.server.Count("token/refresh") != 1 {
			t.Errorf("%s: an id_token of two hours ago is used", wrong)
		}
	}
}

// roundTripper is a function in a client's way.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestB24InvalidGrantWhileASiblingRotated(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	old, err := f.load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next := f.HTTP.Transport
	requests := 0
	f.HTTP.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		requests++
		if requests > 1 {
			return next.RoundTrip(r)
		}
		// A machine that shares the storage but not the lock rotates the token first.
		f.rotateElsewhere(next, old)
		refused := []byte(`{"error":"invalid_grant"}`)
		return &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(refused)), Request: r}, nil
	})
	f.token(force)
	if requests != 2 {
		t.Errorf("B24: %d requests", requests)
	}
	now, err := f.load(t.Context())
	if err != nil || now.RefreshToken == old.RefreshToken {
		t.Errorf("B24: the record holds the old token, %v", err)
	}
}

// rotateElsewhere refreshes and saves as another fob would.
func (f *fixture) rotateElsewhere(transport http.RoundTripper, r *record) {
	f.t.Helper()
	elsewhere := *f.Session
	elsewhere.HTTP = &http.Client{Transport: transport}
	client, err := elsewhere.client(r)
	if err != nil {
		f.t.Fatal(err)
	}
	response, err := client.Refresh(context.Background(), r.RefreshToken.Secret, oauth.Target{})
	if err != nil {
		f.t.Fatal(err)
	}
	rotated := *r
	rotated.RefreshToken = sealedSecret{response.RefreshToken}
	if err := f.save(context.Background(), &rotated); err != nil {
		f.t.Fatal(err)
	}
}

// What a server sends never makes the head too large for one keyring item.
func TestTheHeadOfARecordIsSmall(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	stored, err := f.Store.Get(t.Context(), f.context())
	if err != nil {
		t.Fatal(err)
	}
	if len(stored.Head) > 300 || len(stored.Body)+len(stored.Head) > credstore.MaxRecord {
		t.Errorf("head %d bytes, body %d bytes", len(stored.Head), len(stored.Body))
	}
}
