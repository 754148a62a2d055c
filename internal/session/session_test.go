package session

import (
	"context"
	"errors"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/idtoken"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/seal"
)

// fixture is a login at a test issuer, with a clock that tests move.
type fixture struct {
	*Session
	t      *testing.T
	server *authservertest.Server
	clock  time.Time
	uptime Uptime
	warned []string

	failSaves bool // the storage takes nothing
}

func newFixture(t *testing.T, opts authservertest.Options) *fixture {
	t.Helper()
	server, err := authservertest.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	hc, err := httpclient.New(httpclient.Options{Timeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	paths := config.Paths{Data: filepath.Join(home, "data"), Cache: filepath.Join(home, "cache")}
	key := seal.NewKey()
	f := &fixture{t: t, server: server, clock: time.Now()}
	f.Session = &Session{
		Profile: config.Profile{Name: "work", Issuer: server.Issuer(), ClientID: "fob-test"},
		Paths:   paths,
		Store: credstore.NewFile(credstore.FileOptions{DataDir: paths.Data, Key: func(_ context.Context, create bool) (seal.Key, error) {
			if create && f.failSaves {
				return seal.Key{}, credstore.ErrNotWritten
			}
			return key, nil
		}}),
		HTTP:  hc,
		Clock: Clock{Now: func() time.Time { return f.clock }, Uptime: func() Uptime { return f.uptime }},
		Warn:  func(line string) { f.warned = append(f.warned, line) },
	}
	return f
}

// request starts a login and returns what the server's answer is checked with.
func (f *fixture) request() (*oauth.Client, *oauth.AuthorizationRequest) {
	f.t.Helper()
	m, err := discovery.Discover(f.t.Context(), f.HTTP, f.server.Issuer())
	if err != nil {
		f.t.Fatal(err)
	}
	client := &oauth.Client{HTTP: f.HTTP, Metadata: m, ClientID: "fob-test", Now: f.Clock.Now}
	if err := client.UseAuthMethod(""); err != nil {
		f.t.Fatal(err)
	}
	request, err := client.NewAuthorizationRequest("http://127.0.0.1:1/callback", oauth.AuthorizationParams{Scopes: []string{"openid", "offline_access"}, Extra: map[string]string{"prompt": "consent"}})
	if err != nil {
		f.t.Fatal(err)
	}
	return client, request
}

// login runs the authorization code flow without a listener.
func (f *fixture) login() (*Saved, error) {
	f.t.Helper()
	client, request := f.request()
	back, err := authservertest.Redirect(f.t.Context(), request.URL(), http.DefaultClient)
	if err != nil {
		f.t.Fatal(err)
	}
	q, err := request.ParsePasted(back)
	if err != nil {
		f.t.Fatal(err)
	}
	code, err := request.Code(q)
	if err != nil {
		f.t.Fatal(err)
	}
	response, err := client.Exchange(f.t.Context(), request, code)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.Save(f.t.Context(), Login{Client: client, Response: response, Scopes: []string{"openid", "offline_access"}, Nonce: request.Nonce})
}

func (f *fixture) mustLogin() {
	f.t.Helper()
	if _, err := f.login(); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) token(opts TokenOptions) string {
	f.t.Helper()
	token, err := f.Token(f.t.Context(), opts)
	if err != nil {
		f.t.Fatal(err)
	}
	return token.Value.Reveal()
}

func (f *fixture) injectFault(fault string) {
	f.t.Helper()
	if err := f.server.InjectFault(fault, 1); err != nil {
		f.t.Fatal(err)
	}
}

var force = TokenOptions{ForceRefresh: true}

func TestTokenIsCachedUntilItIsAboutToExpire(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	first := f.token(TokenOptions{})
	f.clock = f.clock.Add(58 * time.Minute)
	if f.token(TokenOptions{}) != first || f.server.Count("token/refresh") != 0 {
		t.Error("a token with two minutes left was refreshed")
	}
	tenMinutes := 10 * time.Minute
	second := f.token(TokenOptions{MinTTL: &tenMinutes})
	if second == first || f.server.Count("token/refresh") != 1 {
		t.Error("--min-ttl had no effect")
	}
	f.clock = f.clock.Add(59*time.Minute + 30*time.Second)
	if f.token(TokenOptions{}) == second || f.server.Count("token/refresh") != 2 {
		t.Error("a token with half a minute left was printed")
	}
	hours := 5 * time.Hour
	f.token(TokenOptions{MinTTL: &hours})
	if len(f.warned) != 1 || !strings.Contains(f.warned[0], "valid for only 1h0m0s") {
		t.Errorf("a min-ttl that no token reaches: %q", f.warned)
	}
}

// 2562047h47m16s is nearly all that a duration holds: with the token's age it is more.
func TestNoTokenOutlivesTheLongestMinTTL(t *testing.T) {
	for _, age := range []time.Duration{0, time.Nanosecond, 10 * time.Minute} {
		for _, ttl := range []time.Duration{1_000_000 * time.Hour, 2562047*time.Hour + 47*time.Minute + 16*time.Second, math.MaxInt64} {
			f := newFixture(t, authservertest.Options{})
			f.mustLogin()
			f.clock = f.clock.Add(age)
			f.token(TokenOptions{MinTTL: &ttl})
			if f.server.Count("token/refresh") != 1 {
				t.Errorf("after %s, --min-ttl %s: the cached token was given", age, ttl)
			}
		}
	}
}

func TestShortTokensAreUsedForNineTenths(t *testing.T) {
	f := newFixture(t, authservertest.Options{TokenLifetime: 100 * time.Second})
	f.mustLogin()
	first := f.token(TokenOptions{})
	f.clock = f.clock.Add(85 * time.Second)
	if f.token(TokenOptions{}) != first {
		t.Error("refreshed at 85 of 100 seconds")
	}
	f.clock = f.clock.Add(6 * time.Second)
	if f.token(TokenOptions{}) == first {
		t.Error("not refreshed at 91 of 100 seconds")
	}
}

func TestB16NoAnswerKeepsTheLogin(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	for i, fault := range []string{"token-500", "token-503", "token-html", "token-empty", "token-huge", "token-gzip-bomb", "token-redirect-308"} {
		f.injectFault(fault)
		if _, err := f.Token(t.Context(), force); err == nil || errors.Is(err, ErrLoginRequired) {
			t.Errorf("B16 %s: %v", fault, err)
		}
		if n := f.server.Count("token/refresh"); n != i+1 {
			t.Errorf("B16 %s: %d requests", fault, n-i)
		}
	}
	f.token(force)
}

func TestB20OddLifetimes(t *testing.T) {
	for fault, want := range map[string]time.Duration{
		"expires-in-string": 30 * time.Minute, "expires-in-float": 30 * time.Minute, "expires-in-exponent": 30 * time.Minute,
		"expires-in-negative": defaultLifetime, "expires-in-zero": defaultLifetime, "expires-in-null": defaultLifetime,
		"expires-in-absent": defaultLifetime, "expires-in-text": defaultLifetime, "expires-in-huge": 365 * 24 * time.Hour,
	} {
		t.Run("B20 "+fault, func(t *testing.T) {
			f := newFixture(t, authservertest.Options{})
			f.mustLogin()
			f.injectFault(fault)
			token, err := f.Token(t.Context(), force)
			if err != nil {
				t.Fatal(err)
			}
			if got := token.ExpiresAt.Sub(f.clock).Truncate(time.Minute); got != want {
				t.Errorf("it lives for %s, want %s", got, want)
			}
			f.token(force) // the refresh token was saved
		})
	}
}

func TestB20WithoutRefreshTokenUsableUntilRefused(t *testing.T) {
	f := newFixture(t, authservertest.Options{NoRefreshToken: true})
	f.injectFault("expires-in-absent")
	f.mustLogin()
	f.clock = f.clock.Add(1000 * time.Hour)
	f.token(TokenOptions{})
}

func TestB22BadTokenIsRefusedAndTheRotatedOneKept(t *testing.T) {
	for _, fault := range []string{"access-token-crlf", "access-token-nul", "access-token-space", "access-token-missing", "token-type-mac"} {
		f := newFixture(t, authservertest.Options{})
		f.mustLogin()
		f.injectFault(fault)
		if token, err := f.Token(t.Context(), force); err == nil || errors.Is(err, ErrLoginRequired) {
			t.Errorf("B22 %s: %v, %v", fault, token, err)
		}
		f.token(force) // with reuse detection, only the rotated one works
	}
}

func TestB23NoNewRefreshToken(t *testing.T) {
	for _, fault := range []string{"refresh-token-absent", "refresh-token-empty"} {
		f := newFixture(t, authservertest.Options{})
		f.mustLogin()
		f.injectFault(fault)
		f.token(force)
		f.token(force)
	}
}

func TestB25InvalidGrant(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	f.injectFault("invalid-grant")
	before := f.server.Count("token/refresh")
	if _, err := f.Token(t.Context(), force); !errors.Is(err, ErrLoginRequired) {
		t.Errorf("B25: %v", err)
	}
	if n := f.server.Count("token/refresh") - before; n != 1 {
		t.Errorf("B25: %d requests", n)
	}
	f.token(force) // the record is kept: it was the server's mistake
}

func TestANetworkFailureLogsNobodyOut(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	f.server.Close()
	if _, err := f.Token(t.Context(), force); !errors.Is(err, oauth.ErrUnavailable) || errors.Is(err, ErrLoginRequired) {
		t.Errorf("Token() = %v", err)
	}
	if status := f.Status(t.Context()); status.State != StateValid {
		t.Errorf("afterwards the login is %s", status.State)
	}
}

func TestC31BadIDTokenStoresNothing(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	for _, fault := range []string{"id-token-nonce", "id-token-iss", "no-id-token", "id-token-none"} {
		f.injectFault(fault)
		if _, err := f.login(); !errors.Is(err, idtoken.ErrRefused) {
			t.Errorf("C31 %s: %v", fault, err)
		}
		if status := f.Status(t.Context()); status.State != StateLoggedOut {
			t.Errorf("C31 %s: the login is %s", fault, status.State)
		}
	}
	if n := f.server.Count("revocation"); n != 4 {
		t.Errorf("%d of 4 tokens that nobody keeps were revoked", n)
	}
	if err := f.server.InjectFault("id-token-no-name", 1); err != nil {
		t.Fatal(err)
	}
	f.injectFault("userinfo-sub")
	if _, err := f.login(); !errors.Is(err, oauth.ErrWrongSubject) {
		t.Errorf("C31 oidcc-client-test-userinfo-invalid-sub: %v", err)
	}
}

func TestUserinfoThatIsDownCostsTheNameAlone(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.injectFault("id-token-no-name")
	f.injectFault("userinfo-500")
	saved, err := f.login()
	if err != nil || saved.Account.Subject != "ada" || saved.Account.Name != "" || len(f.warned) != 1 {
		t.Errorf("%+v, %v, %q", saved, err, f.warned)
	}
}

func TestF48EditedProfile(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	f.Profile.Issuer = "https://evil.example"
	if _, err := f.Token(t.Context(), TokenOptions{}); !errors.Is(err, seal.ErrWrongContext) || errors.Is(err, ErrLoginRequired) {
		t.Errorf("F48: %v", err)
	}
}

func TestACacheThatDoesNotOpenCostsOneRefresh(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	for name, spoil := range map[string]func(path string) error{
		"deleted":   os.Remove,
		"truncated": func(path string) error { return os.Truncate(path, 20) },
		"empty":     func(path string) error { return os.Truncate(path, 0) },
	} {
		f.mustLogin()
		before := f.server.Count("token/refresh")
		if err := spoil(f.cache(Target{}).path); err != nil {
			t.Fatal(err)
		}
		f.token(TokenOptions{})
		f.token(TokenOptions{})
		if n := f.server.Count("token/refresh") - before; n != 1 {
			t.Errorf("%s: %d refreshes", name, n)
		}
	}
}

func TestANewLoginLeavesNoOldAccessToken(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	old := f.token(TokenOptions{})
	kept, err := os.ReadFile(f.cache(Target{}).path)
	if err != nil {
		t.Fatal(err)
	}
	f.mustLogin()
	if err := os.WriteFile(f.cache(Target{}).path, kept, 0o600); err != nil {
		t.Fatal(err)
	}
	if f.token(TokenOptions{}) == old {
		t.Error("the old login's access token is printed after a new login")
	}
}

func TestTheLockIsWaitedForAndCtrlCWorks(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	lock, err := filelock.Acquire(t.Context(), filepath.Join(f.Paths.Data, "locks", "work.lock"), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release()
	f.token(TokenOptions{}) // a good token needs no lock
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := f.Token(ctx, force); !errors.Is(err, context.DeadlineExceeded) || f.server.Count("token/refresh") != 0 {
		t.Errorf("Token() under a held lock = %v", err)
	}
}

func TestLogout(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	access := f.token(TokenOptions{})
	steps, err := f.Logout(t.Context(), false)
	if err != nil || len(steps) != 2 || steps[0].Token != "refresh token" || steps[0].Err != nil || steps[1].Err != nil {
		t.Errorf("Logout() = %+v, %v", steps, err)
	}
	if f.server.Introspect(access) {
		t.Error("the access token is active")
	}
	if _, err := os.Stat(f.cache(Target{}).path); !errors.Is(err, os.ErrNotExist) {
		t.Error("the cache is still there")
	}
	if _, err := f.Logout(t.Context(), false); !errors.Is(err, ErrLoginRequired) {
		t.Errorf("a second Logout() = %v", err)
	}
	if err := f.Forget(t.Context()); err != nil {
		t.Errorf("forgetting what is not there: %v", err)
	}
}

func TestB30RevocationThatFails(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	if err := f.server.InjectFault("revoke-503", 2); err != nil {
		t.Fatal(err)
	}
	steps, err := f.Logout(t.Context(), false)
	if err != nil || len(steps) != 2 || !errors.Is(steps[0].Err, oauth.ErrUnavailable) {
		t.Errorf("B30: %+v, %v", steps, err)
	}
	if status := f.Status(t.Context()); status.State != StateLoggedOut {
		t.Errorf("B30: the login is %s", status.State)
	}
	f = newFixture(t, authservertest.Options{NoRevocation: true})
	f.mustLogin()
	if steps, err := f.Logout(t.Context(), false); err != nil || !errors.Is(steps[0].Err, oauth.ErrUnsupported) {
		t.Errorf("B30 no revocation: %+v, %v", steps, err)
	}
}

func TestLogoutKeepsWhatItCannotRead(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	right := f.Store
	f.Store = credstore.NewFile(credstore.FileOptions{DataDir: f.Paths.Data, Key: func(context.Context, bool) (seal.Key, error) {
		return seal.NewKey(), nil
	}})
	if _, err := f.Logout(t.Context(), false); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("Logout() = %v", err)
	}
	f.Store = right
	f.token(TokenOptions{})
	if err := f.Forget(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestALoginThatEndsSoonIsSpokenOf(t *testing.T) {
	f := newFixture(t, authservertest.Options{TokenLifetime: 40 * 24 * time.Hour, LoginLifetime: 30 * 24 * time.Hour})
	f.mustLogin()
	f.clock = f.clock.Add(26 * 24 * time.Hour)
	f.token(TokenOptions{})
	if len(f.warned) != 0 {
		t.Errorf("four days ahead: %q", f.warned)
	}
	f.clock = f.clock.Add(36 * time.Hour)
	f.token(TokenOptions{})
	if len(f.warned) != 1 || !strings.Contains(f.warned[0], "run 'fob login work' before") {
		t.Errorf("two and a half days ahead: %q", f.warned)
	}
	f = newFixture(t, authservertest.Options{LoginLifetime: 30 * time.Minute})
	f.mustLogin()
	for range 3 { // days of use, each refresh renewing the half hour
		f.clock = f.clock.Add(72 * time.Hour)
		f.token(force)
		f.token(TokenOptions{})
	}
	if len(f.warned) != 0 {
		t.Errorf("a login that never lives long is spoken of: %q", f.warned)
	}
}
