//go:build unix

package scripttest

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/authservertest"
)

const sharedRedirect = "http://127.0.0.1/callback" // of all issuers, as fob once had it

// TestI70_MixUp logs in at a malicious issuer, which sends the browser on to an honest
// server at which the victim has a client (RFC 9700 §4.4). Where the attack must fail,
// the browser must have come to the honest server all the same. Where it must not, the
// redirect is one that the honest server knows: else the test would prove nothing.
func TestI70_MixUp(t *testing.T) {
	for name, test := range map[string]struct {
		args       []string // of the login at the malicious server; EVIL is its URL
		registered []string // of the victim's client at the honest server, besides its own
		says       bool     // the honest server says iss in its callbacks
		stolen     bool
	}{
		"a new profile":                       {},
		"a new profile, /callback registered": {registered: []string{sharedRedirect}},
		"a new profile without an issuer": {
			args:       []string{"--issuer", "", "--authorization-endpoint", "EVIL/authorize", "--token-endpoint", "EVIL/token", "--scope", "email"},
			registered: []string{sharedRedirect},
		},
		"an empty redirect":                   {args: []string{"--redirect-uri", ""}, registered: []string{sharedRedirect}},
		"the shared redirect, not registered": {args: []string{"--redirect-uri", sharedRedirect}},
		"the shared redirect, with iss":       {args: []string{"--redirect-uri", sharedRedirect}, registered: []string{sharedRedirect}, says: true},
		"the shared redirect":                 {args: []string{"--redirect-uri", sharedRedirect}, registered: []string{sharedRedirect}, stolen: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			honest := startIssuer(t, authservertest.Options{NoIss: !test.says})
			honest.AddClient(authservertest.Client{
				ID: "victim", AuthMethod: "none", Grants: []string{"authorization_code", "refresh_token"},
				RedirectURIs: append(slices.Clone(test.registered), honest.RedirectFor()),
			})
			evil := startIssuer(t, authservertest.Options{NoIss: true})
			evil.MixUp(honest, "victim")
			args := []string{"login", "evil", "--issuer", evil.Issuer(), "--client-id", "fob-test", "--timeout", "5s"}
			for _, arg := range test.args {
				args = append(args, strings.ReplaceAll(arg, "EVIL", evil.Issuer()))
			}
			shown, err := newUser(t).fob(args...)

			if evil.Count("authorize") != 1 || honest.Count("authorize") != 1 {
				t.Fatalf("the browser came to the malicious server %d times, to the honest one %d times\n%s", evil.Count("authorize"), honest.Count("authorize"), shown)
			}
			forms, answers := evil.Stolen()
			if !test.stolen {
				if err == nil || len(forms) != 0 || evil.Count("token") != 0 || honest.Count("token") != 0 {
					t.Errorf("%v: the malicious server has got %v, and for that %s\n%s", err, forms, answers, shown)
				}
				return
			}
			if len(forms) != 1 || forms[0].Get("code") == "" || forms[0].Get("code_verifier") == "" || !strings.Contains(answers[0], "access_token") {
				t.Errorf("the attack is none: %v, %s\n%s", forms, answers, shown)
			}
		})
	}
}

// TestI70_RegisteredRedirect logs in where fob registers itself: with the redirect of
// this issuer, and no other.
func TestI70_RegisteredRedirect(t *testing.T) {
	server := startIssuer(t, authservertest.Options{Registration: true, NoIss: true})
	if shown, err := newUser(t).fob("login", "work", "--issuer", server.Issuer()); err != nil {
		t.Fatalf("%v\n%s", err, shown)
	}
	if got := server.RegisteredRedirects(); !slices.Equal(got, []string{server.RedirectFor()}) {
		t.Errorf("fob has registered %v", got)
	}
}

func startIssuer(t *testing.T, opts authservertest.Options) *authservertest.Server {
	t.Helper()
	s, err := authservertest.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// user has fob, a browser that says yes and a home.
type user struct {
	t       *testing.T
	fobPath string
	home    string
}

func newUser(t *testing.T) user {
	t.Helper()
	return user{t, program(t), t.TempDir()}
}

// fob runs a command, and returns what it shows on stderr.
func (u user) fob(args ...string) (string, error) {
	c := exec.CommandContext(u.t.Context(), u.fobPath, args...)
	c.Env = append(os.Environ(), "BROWSER=approve", "GORACE=atexit_sleep_ms=0",
		"FOB_HOME="+u.home, "FOB_STORAGE=file", "FOB_SEAL_KEY="+strings.Repeat("ab", 32))
	var stderr bytes.Buffer
	c.Stderr = &stderr
	err := c.Run()
	return stderr.String(), err
}
