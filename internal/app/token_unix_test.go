//go:build unix

package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/agent"
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/session"
)

// startAgent listens where answer answers, and returns the socket and the requests.
func startAgent(t *testing.T, answer agent.Answer) (path string, requests chan agent.Request) {
	t.Helper()
	dir, err := os.MkdirTemp("", "fob") // a test's own folder may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path = filepath.Join(dir, "agent.sock")
	listener, err := agent.Listen(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	requests, served := make(chan agent.Request, 100), make(chan error, 1)
	go func() {
		served <- agent.Serve(ctx, listener, 10, func(_ context.Context, r agent.Request, note func(string)) agent.Answer {
			requests <- r
			note("a note\x1b[31m")
			return answer
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return path, requests
}

var agentToken = agent.Answer{Token: &agent.Token{AccessToken: "from-the-agent", TokenType: oauth.TypeBearer}}

// The order: a token in the environment, the machine's identity or a refresh token in the
// environment, the agent, the storage.
func TestToken_SourceOrder(t *testing.T) {
	issuer := startIssuer(t, authservertest.Options{NoRotation: true})
	profiles := fmt.Sprintf(`
[profile.work]
issuer = %[1]q
client_id = "fob-test"
[profile.ci]
issuer = %[1]q
client_id = "fob-ci"
grant = "token-exchange"
identity = "gitlab"
`, issuer.Issuer())
	f := newFixture(t, profiles)
	refreshToken := f.login("work").RefreshToken.Reveal()
	stored := f.login("work")
	access, err := stored.AccessToken()
	if err != nil {
		t.Fatal(err)
	}
	envToken, envRefresh := "FOB_TOKEN_WORK=from-the-variable", "FOB_REFRESH_TOKEN_WORK="+refreshToken
	identity := "FOB_ID_TOKEN=" + issuer.IdentityToken(issuer.Issuer())
	failure := func(fallback bool) *agent.Answer {
		return &agent.Answer{Failure: &agent.Failure{Error: "the agent's failure", Status: cli.ExitStorage, Fallback: fallback}}
	}
	for name, test := range map[string]struct {
		profile  string
		environ  []string
		agent    *agent.Answer
		want     string // empty: minted at the endpoint
		endpoint string
		asked    int // the agent
		problem  string
	}{
		"a token variable is first":           {profile: "work", environ: []string{envToken, envRefresh}, agent: &agentToken, want: "from-the-variable"},
		"then a refresh token's":              {profile: "work", environ: []string{envRefresh}, agent: &agentToken, endpoint: "token/refresh"},
		"then the agent":                      {profile: "work", agent: &agentToken, want: "from-the-agent", asked: 1},
		"without an agent the storage":        {profile: "work", want: access.Value.Reveal()},
		"an agent that cannot serve":          {profile: "work", agent: failure(true), want: access.Value.Reveal(), asked: 1},
		"an agent whose failure is final":     {profile: "work", agent: failure(false), asked: 1, problem: "the agent's failure"},
		"a variable of another profile":       {profile: "work", environ: []string{"FOB_TOKEN_OTHER=x", "FOB_TOKEN=y"}, want: access.Value.Reveal()},
		"an identity needs no agent":          {profile: "ci", environ: []string{identity}, agent: &agentToken, endpoint: "token/exchange"},
		"an identity before a refresh token":  {profile: "ci", environ: []string{identity, "FOB_REFRESH_TOKEN_CI=x"}, endpoint: "token/exchange"},
		"a token variable before an identity": {profile: "ci", environ: []string{identity, "FOB_TOKEN_CI=from-the-variable"}, want: "from-the-variable"},
		"no identity":                         {profile: "ci", agent: &agentToken, problem: "FOB_ID_TOKEN"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newFixture(t, profiles, test.environ...)
			if test.endpoint == "" { // else nothing is stored
				g.Environ["FOB_HOME"] = f.home
			}
			var requests chan agent.Request
			if test.agent != nil {
				g.Environ["FOB_AGENT"], requests = startAgent(t, *test.agent)
			}
			before := issuer.Count(test.endpoint)
			token, err := g.Token(t.Context(), g.profile(test.profile), session.TokenOptions{})
			if len(requests) != test.asked {
				t.Errorf("the agent was asked %d times", len(requests))
			}
			if test.problem != "" {
				if err == nil || !strings.Contains(err.Error(), test.problem) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if test.endpoint != "" && issuer.Count(test.endpoint) != before+1 {
				t.Errorf("%s was asked %d times", test.endpoint, issuer.Count(test.endpoint)-before)
			}
			if test.want != "" && token.Value.Reveal() != test.want || test.want == "" && !strings.HasPrefix(token.Value.Reveal(), "authservertest-access-") {
				t.Errorf("got %s", token.Value.Reveal())
			}
		})
	}
}

// The agent that has this configuration is asked before it is read here: it is not TOML.
func TestNamedAgentToken(t *testing.T) {
	failure := func(fallback bool) agent.Answer {
		return agent.Answer{Failure: &agent.Failure{Error: "the agent's failure", Status: cli.ExitLoginRequired, Fallback: fallback}}
	}
	for name, test := range map[string]struct {
		profile string
		environ []string
		answer  agent.Answer
		asked   int
		want    error
	}{
		"a named profile":              {"work", nil, agentToken, 1, nil},
		"a failure":                    {"work", nil, failure(false), 1, session.ErrLoginRequired},
		"it cannot serve":              {"work", nil, failure(true), 1, nil},
		"no name":                      {"", nil, agentToken, 0, nil},
		"a refresh token":              {"work", []string{"FOB_REFRESH_TOKEN_WORK=x"}, agentToken, 0, nil},
		"a token":                      {"work", []string{"FOB_TOKEN_WORK=x"}, agentToken, 0, nil},
		"another configuration":        {"work", []string{"FOB_CONFIG=/x/config.toml"}, agentToken, 0, nil},
		"one in a job's workspace":     {"work", []string{"GITHUB_WORKSPACE=/"}, agentToken, 0, nil},
		"no agent":                     {"work", []string{"FOB_AGENT=off"}, agentToken, 0, nil},
		"an agent elsewhere, if named": {"work", []string{"FOB_AGENT=/x/agent.sock"}, agentToken, 0, nil},
	} {
		socket, requests := startAgent(t, test.answer)
		home := filepath.Dir(socket)
		err := errors.Join(os.Mkdir(filepath.Join(home, "run"), 0o700), os.Rename(socket, filepath.Join(home, "run", AgentSocketName)))
		if err != nil {
			t.Fatal(err)
		}
		f := newFixture(t, "", append([]string{"FOB_HOME=" + home, "FOB_AGENT="}, test.environ...)...)
		f.home = home
		f.write("config.toml", "not TOML")
		token, err := f.NamedAgentToken(t.Context(), test.profile, session.TokenOptions{ForceRefresh: true})
		if served := test.asked == 1 && test.answer.Token != nil; !errors.Is(err, test.want) || (token != nil) != served || len(requests) != test.asked {
			t.Errorf("%s: %v, %v; asked %d times", name, token, err, len(requests))
		}
		if test.asked == 1 {
			if r := <-requests; r.Do != agent.DoNamed || r.Profile != "work" || r.Home.Config != f.path("config.toml") || r.Folder == "" || r.Folder != agent.FolderID(r.Home.Config) || !r.ForceRefresh {
				t.Errorf("%s: %+v", name, r)
			}
		}
	}
}

// A suspended agent costs its timeout once: it is not asked again with the profile's settings.
func TestAgentToken_SilentAgentIsAskedOnce(t *testing.T) {
	home, err := os.MkdirTemp("", "fob")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	socket := filepath.Join(home, "run", AgentSocketName)
	if err := os.Mkdir(filepath.Dir(socket), 0o700); err != nil {
		t.Fatal(err)
	}
	listener, err := agent.Listen(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	var asked atomic.Int32
	go func() { // it hangs up without a response
		for conn, err := listener.Accept(); err == nil; conn, err = listener.Accept() {
			asked.Add(1)
			_ = conn.Close()
		}
	}()
	f := newFixture(t, "", "FOB_HOME="+home, "FOB_AGENT=")
	f.home = home
	f.write("config.toml", "[profile.work]\nprovider = \"github\"\n")
	own, err := f.NamedAgentToken(t.Context(), "work", session.TokenOptions{})
	if own != nil || err != nil || asked.Load() != 1 {
		t.Fatalf("%v, %v; asked %d times", own, err, asked.Load())
	}
	if token, err := f.agentToken(t.Context(), f.profile("work"), session.TokenOptions{}); token != nil || err != nil || asked.Load() != 1 {
		t.Errorf("%v, %v; asked %d times", token, err, asked.Load())
	}
	f.Environ["FOB_AGENT"] = socket // by name
	if token, err := f.agentToken(t.Context(), f.profile("work"), session.TokenOptions{}); token != nil || err != nil || asked.Load() != 2 {
		t.Errorf("by name: %v, %v; asked %d times", token, err, asked.Load())
	}
}

func TestAgentToken_Request(t *testing.T) {
	f := newFixture(t, "[profile.work]\nissuer = \"https://sso.example.com\"\nclient_id = \"fob\"\n")
	path, requests := startAgent(t, agentToken)
	f.Environ["FOB_AGENT"] = path
	ttl := time.Minute
	want := session.TokenOptions{Target: session.Target{Scope: "read", Resource: "https://api.example.com"}, MinTTL: &ttl, ForceRefresh: true, WantIDToken: true}
	if _, err := f.Token(t.Context(), f.profile("work"), want); err != nil {
		t.Fatal(err)
	}
	r := <-requests
	home := agent.Home{Config: f.path("config.toml"), Data: f.path("data"), Cache: f.path("cache"), Storage: "file"}
	if r.Do != agent.DoToken || r.Home != home || r.Profile != "work" || r.Issuer != "https://sso.example.com" || r.ClientID != "fob" ||
		r.Scope != "read" || r.Resource != "https://api.example.com" || r.MinTTL == nil || *r.MinTTL != ttl || !r.ForceRefresh || !r.IDToken || r.Key != nil {
		t.Errorf("%#v", r)
	}
	if shown := f.err.String(); !strings.Contains(shown, "a note") || strings.Contains(shown, "\x1b") {
		t.Errorf("the agent's note: %q", shown)
	}
}

// A profile that only another machine has needs its agent: nothing is tried here.
func TestAgentToken_OfAnotherMachine(t *testing.T) {
	f := newFixture(t, "[profile.home]\nprovider = \"github\"\n")
	if _, err := f.TokenProfile([]string{"work"}); !errors.As(err, new(*config.SelectError)) {
		t.Errorf("without an agent: %v", err)
	}
	failing, _ := startAgent(t, agent.Answer{Failure: &agent.Failure{Error: "no", Hint: "hint\x1b", Status: cli.ExitRefused, Fallback: true}})
	for socket, problem := range map[string]string{failing: "no", filepath.Join(filepath.Dir(failing), "none.sock"): "no agent is running"} {
		f.Environ["FOB_AGENT"] = socket
		p, err := f.TokenProfile([]string{"work"})
		if err != nil || p.Name != "work" {
			t.Fatalf("%+v, %v", p, err)
		}
		if _, err := f.Token(t.Context(), p, session.TokenOptions{}); err == nil || !strings.Contains(err.Error(), problem) || strings.Contains(cli.CarriedHint(err), "\x1b") {
			t.Errorf("%s: %v, hint %q", socket, err, cli.CarriedHint(err))
		}
	}
	if p, err := f.TokenProfile([]string{"home"}); err != nil || p.Provider != "github" {
		t.Errorf("a profile that is configured here: %+v, %v", p, err)
	}
}

func TestAgentToken_UnsafeSocket(t *testing.T) {
	f := newFixture(t, "[profile.work]\nprovider = \"github\"\n")
	path, requests := startAgent(t, agentToken)
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	f.Environ["FOB_AGENT"] = path // by name: the user is told
	if _, err := f.agentToken(t.Context(), f.profile("work"), session.TokenOptions{}); !errors.Is(err, atomicfile.ErrUnsafe) {
		t.Errorf("%v", err)
	}
	delete(f.Environ, "FOB_AGENT") // by default: fob goes on without it
	paths, err := f.Paths()
	if err != nil || os.MkdirAll(paths.Runtime, 0o700) != nil || os.WriteFile(filepath.Join(paths.Runtime, AgentSocketName), nil, 0o666) != nil {
		t.Fatal(err)
	}
	if token, err := f.agentToken(t.Context(), f.profile("work"), session.TokenOptions{}); token != nil || err != nil || !strings.Contains(f.err.String(), "it is not used") {
		t.Errorf("%v, %v, %q", token, err, f.err)
	}
	if len(requests) != 0 {
		t.Error("an agent at an unsafe socket was asked")
	}
}

func TestTokenFromAgent_RefusesWhatIsNoToken(t *testing.T) {
	for _, test := range []struct {
		token *agent.Token
		ok    bool
	}{
		{&agent.Token{AccessToken: "a", TokenType: oauth.TypeBearer}, true},
		{&agent.Token{AccessToken: "a", TokenType: oauth.TypeDPoP, IDToken: "i"}, true},
		{nil, false},
		{&agent.Token{TokenType: oauth.TypeBearer}, false},
		{&agent.Token{AccessToken: "a b", TokenType: oauth.TypeBearer}, false},
		{&agent.Token{AccessToken: "a\r\nX-Evil: 1", TokenType: oauth.TypeBearer}, false},
		{&agent.Token{AccessToken: "a", TokenType: oauth.TypeBearer, IDToken: "i\n"}, false},
		{&agent.Token{AccessToken: "a", TokenType: "mac"}, false},
		{&agent.Token{AccessToken: "a"}, false},
	} {
		if token, err := tokenFromAgent(test.token); (err == nil) != test.ok || test.ok && token.Value.Reveal() != "a" {
			t.Errorf("%#v: %v", test.token, err)
		}
	}
}

func TestNewAgentToken_RoundTrip(t *testing.T) {
	end := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, withID := range []bool{true, false} {
		sent := NewAgentToken(mustToken(t, &agent.Token{AccessToken: "a", TokenType: oauth.TypeDPoP, Scope: "s", ExpiresAt: end, IDToken: "i", IDTokenExpiresAt: end}), withID)
		got := mustToken(t, sent)
		if got.Value.Reveal() != "a" || got.Type != oauth.TypeDPoP || got.Scope != "s" || !got.ExpiresAt.Equal(end) {
			t.Errorf("%#v", got)
		}
		if (got.IDToken.Reveal() == "i") != withID || got.IDTokenExpiresAt.IsZero() == withID {
			t.Errorf("the id_token was sent, though it was not asked for: %v", !withID)
		}
	}
}

func mustToken(t *testing.T, of *agent.Token) *session.Token {
	t.Helper()
	token, err := tokenFromAgent(of)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestNewAgentError(t *testing.T) {
	for _, test := range []struct {
		status, want int
		is           error
	}{
		{cli.ExitLoginRequired, cli.ExitLoginRequired, session.ErrLoginRequired},
		{cli.ExitUnavailable, cli.ExitUnavailable, oauth.ErrUnavailable},
		{cli.ExitLockTimeout, cli.ExitLockTimeout, filelock.ErrTimeout},
		{cli.ExitStorage, cli.ExitStorage, nil},
		{cli.ExitRefused, cli.ExitRefused, nil},
		{cli.ExitDone, cli.ExitFailed, nil}, // a failure never ends in success
		{cli.ExitInterrupted, cli.ExitFailed, nil},
		{-1, cli.ExitFailed, nil},
		{4711, cli.ExitFailed, nil},
	} {
		err := NewAgentError(&agent.Failure{Error: "it\x1b[31m failed", Hint: "do\x1b this", Status: test.status})
		var failure *AgentError
		if !errors.As(err, &failure) || failure.Status != test.want {
			t.Fatalf("%d: %v", test.status, err)
		}
		for _, target := range []error{session.ErrLoginRequired, oauth.ErrUnavailable, filelock.ErrTimeout} {
			if errors.Is(err, target) != errors.Is(test.is, target) {
				t.Errorf("%d is %v: %v", test.status, target, errors.Is(err, target))
			}
		}
		if strings.Contains(err.Error()+cli.CarriedHint(err), "\x1b") || !strings.HasPrefix(cli.CarriedHint(err), "do") {
			t.Errorf("%q, %q", err, cli.CarriedHint(err))
		}
	}
}

func TestAgentSocket(t *testing.T) {
	long := "/" + strings.Repeat("x", 200)
	for name, test := range map[string]struct {
		environ []string
		path    string
		named   bool
		usage   bool
	}{
		"by default":          {[]string{"FOB_HOME=/home", "FOB_AGENT="}, "/home/run/agent.sock", false, false},
		"named":               {[]string{"FOB_AGENT=/tmp/a.sock"}, "/tmp/a.sock", true, false},
		"off":                 {[]string{"FOB_AGENT=off"}, "", true, false},
		"relative":            {[]string{"FOB_AGENT=a.sock"}, "", true, true},
		"too long":            {[]string{"FOB_AGENT=" + long}, "", true, true},
		"too long by default": {[]string{"FOB_HOME=" + long, "FOB_AGENT="}, "", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			path, named, err := newFixture(t, "", test.environ...).AgentSocket()
			if path != test.path || named != test.named || IsUsage(err) != test.usage || (err != nil) != test.usage {
				t.Errorf("%q, %v, %v", path, named, err)
			}
		})
	}
}

func TestTokenFromEnv(t *testing.T) {
	for name, test := range map[string]struct {
		named   string
		environ string
		opts    session.TokenOptions
		want    string
		problem string // empty and no want: no token
	}{
		"for the profile":           {"work", "FOB_TOKEN_WORK=a", session.TokenOptions{}, "a", ""},
		"a dash is an underscore":   {"my-job", "FOB_TOKEN_MY_JOB=a", session.TokenOptions{}, "a", ""},
		"where none is named":       {"", "FOB_TOKEN=a", session.TokenOptions{}, "a", ""},
		"not for a named one":       {"work", "FOB_TOKEN=a", session.TokenOptions{}, "", ""},
		"not of a named one":        {"", "FOB_TOKEN_WORK=a", session.TokenOptions{}, "", ""},
		"empty":                     {"work", "FOB_TOKEN_WORK=", session.TokenOptions{}, "", ""},
		"it cannot be refreshed":    {"work", "FOB_TOKEN_WORK=a", session.TokenOptions{ForceRefresh: true}, "", "cannot be refreshed"},
		"no id_token":               {"work", "FOB_TOKEN_WORK=a", session.TokenOptions{WantIDToken: true}, "", "one access token"},
		"no other scope":            {"work", "FOB_TOKEN_WORK=a", session.TokenOptions{Target: session.Target{Scope: "s"}}, "", "one access token"},
		"no other API":              {"work", "FOB_TOKEN_WORK=a", session.TokenOptions{Target: session.Target{Resource: "https://x"}}, "", "one access token"},
		"the answer of an endpoint": {"work", `FOB_TOKEN_WORK={"access_token":"a"}`, session.TokenOptions{}, "", "is not an access token"},
		"two words":                 {"work", "FOB_TOKEN_WORK=Bearer a", session.TokenOptions{}, "", "is not an access token"},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := newFixture(t, "", test.environ).TokenFromEnv(test.named, test.opts)
			switch {
			case test.problem != "":
				if token != nil || !IsUsage(err) || !strings.Contains(err.Error(), test.problem) || strings.Contains(err.Error(), "Bearer") || strings.Contains(err.Error(), "{") {
					t.Errorf("%v, %v", token, err)
				}
			case err != nil || (token != nil) != (test.want != "") || token != nil && token.Value.Reveal() != test.want:
				t.Errorf("%v, %v", token, err)
			}
		})
	}
}

func TestTokenVariable(t *testing.T) {
	for _, test := range []struct {
		environ   []string
		want      string
		refreshes bool
	}{
		{[]string{"FOB_TOKEN_MY_JOB=a", "FOB_REFRESH_TOKEN_MY_JOB=b"}, "FOB_TOKEN_MY_JOB", false},
		{[]string{"FOB_REFRESH_TOKEN_MY_JOB=b"}, "FOB_REFRESH_TOKEN_MY_JOB", true},
		{[]string{"FOB_TOKEN_MY_JOB=", "FOB_TOKEN=a"}, "", false},
	} {
		if name, refreshes := newFixture(t, "", test.environ...).TokenVariable("my-job"); name != test.want || refreshes != test.refreshes {
			t.Errorf("%q: %s, %v", test.environ, name, refreshes)
		}
	}
}

func TestConfiguredMinTTL(t *testing.T) {
	for text, want := range map[string]time.Duration{"": -1, "90s": 90 * time.Second, "0": 0, "10m": 10 * time.Minute} {
		ttl, err := ConfiguredMinTTL(newFixture(t, "", "FOB_MIN_TTL="+text).App)
		if err != nil || (ttl == nil) != (want < 0) || ttl != nil && *ttl != want {
			t.Errorf("%q: %v, %v", text, ttl, err)
		}
	}
	for _, text := range []string{"-1s", "90", "soon"} {
		if _, err := ConfiguredMinTTL(newFixture(t, "", "FOB_MIN_TTL="+text).App); !IsUsage(err) || cli.CarriedHint(err) == "" {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestToken_ServerIsDown(t *testing.T) {
	issuer := startIssuer(t, authservertest.Options{})
	f := newFixture(t, fmt.Sprintf("[profile.work]\nissuer = %q\nclient_id = \"fob-test\"\n", issuer.Issuer()))
	f.login("work")
	issuer.Close()
	_, err := f.Token(t.Context(), f.profile("work"), session.TokenOptions{ForceRefresh: true})
	if !errors.Is(err, oauth.ErrUnavailable) || !strings.HasSuffix(cli.CarriedHint(err), "the login is unchanged") {
		t.Errorf("%v, hint %q", err, cli.CarriedHint(err))
	}
}

func TestStillIn(t *testing.T) {
	f := newFixture(t, "[profile.work]\nprovider = \"github\"\nstorage = \"file\"\n", "FOB_STORAGE=")
	store, err := f.ProfileStore(f.profile("work"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.StillIn(store, "work"); err != nil {
		t.Error(err)
	}
	f.write("config.toml", "[profile.work]\nprovider = \"github\"\nstorage = \"keyring\"\n")
	if err := f.StillIn(store, "work"); !errors.Is(err, session.ErrMoved) {
		t.Errorf("after a move: %v", err)
	}
}
