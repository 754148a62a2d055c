package cmd

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/cli"
)

// gitlab is a GitLab that replaces the one token that it honours.
type gitlab struct {
	token   string
	minted  int
	lost    bool // its answers do not arrive
	refuses bool
}

func (g *gitlab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("PRIVATE-TOKEN") != g.token || g.refuses {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"message":"401 Unauthorized"}`)
		return
	}
	g.minted++
	g.token = "glpat-canary-" + strings.Repeat("i", g.minted)
	if g.lost {
		panic(http.ErrAbortHandler)
	}
	_, _ = io.WriteString(w, `{"token":"`+g.token+`","expires_at":"2027-03-04"}`)
}

// machineWithGitLab returns a function that runs fob there.
func machineWithGitLab(t *testing.T, g *gitlab) (fob func(stdin string, args ...string) (status int, stdout, stderr string), home string) {
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	home = t.TempDir()
	text := "[commands]\nbroken = [\"false\"]\nfine = [\"true\"]\n[destination.url]\ngitlab = \"" + server.URL + "\"\n"
	if err := os.WriteFile(filepath.Join(home, "config.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(stdin string, args ...string) (int, string, string) {
		t.Setenv("FOB_HOME", home)
		t.Setenv("FOB_STORAGE", "file")
		t.Setenv("FOB_SEAL_KEY", strings.Repeat("ab", 32))
		var stdout, stderr bytes.Buffer
		status := Main(args, strings.NewReader(stdin), &stdout, &stderr)
		return status, stdout.String(), stderr.String()
	}, home
}

func want(t *testing.T, what string, got, wanted int, stderr string) {
	t.Helper()
	if got != wanted {
		t.Errorf("%s: %d, not %d: %s", what, got, wanted, stderr)
	}
	if strings.Contains(stderr, "canary") {
		t.Errorf("%s shows a token: %s", what, stderr)
	}
}

// The token that GitLab gives is kept before anything else is judged: what a failed
// delivery leaves is the new one, since the old one has ended.
func TestAGitLabTokenReplacesItself(t *testing.T) {
	g := &gitlab{token: "glpat-canary"}
	fob, home := machineWithGitLab(t, g)
	status, _, stderr := fob(g.token, "secret", "set", "gitlab", "--rotate-with", "gitlab", "--to", "exec:fine")
	want(t, "set", status, cli.ExitDone, stderr)
	status, _, stderr = fob("", "secret", "rotate", "gitlab", "--yes")
	want(t, "rotate", status, cli.ExitDone, stderr)
	if strings.Contains(stderr, "until you revoke it") {
		t.Errorf("the old one has ended: %s", stderr)
	}
	if _, stdout, _ := fob("", "secret", "get", "gitlab"); stdout != g.token+"\n" || g.minted != 1 {
		t.Errorf("%q, and GitLab has made %d", stdout, g.minted)
	}
	if text, _ := os.ReadFile(filepath.Join(home, "config.toml")); !strings.Contains(string(text), "expires = 2027-03-04") || strings.Contains(string(text), "canary") {
		t.Errorf("%s", text)
	}
	status, _, stderr = fob("", "secret", "set", "gitlab", "--keep", "--to", "exec:broken")
	want(t, "set --keep", status, cli.ExitDone, stderr)
	status, _, stderr = fob("", "secret", "rotate", "gitlab", "--yes")
	want(t, "rotate, with a delivery that fails", status, cli.ExitFailed, stderr)
	if _, stdout, _ := fob("", "secret", "get", "gitlab"); stdout != g.token+"\n" || g.minted != 2 {
		t.Errorf("%q, and GitLab has made %d", stdout, g.minted)
	}
	text, _ := os.ReadFile(filepath.Join(home, "config.toml"))
	mended := strings.Replace(string(text), `broken = ["false"]`, `broken = ["true"]`, 1)
	if err := os.WriteFile(filepath.Join(home, "config.toml"), []byte(mended), 0o600); err != nil {
		t.Fatal(err)
	}
	status, _, stderr = fob("", "secret", "rotate", "gitlab", "--resume", "--yes")
	want(t, "resume", status, cli.ExitDone, stderr)
	if _, stdout, _ := fob("", "secret", "get", "gitlab"); stdout != g.token+"\n" || g.minted != 2 || strings.Contains(stderr, "until you revoke it") {
		t.Errorf("%q, and GitLab has made %d: %s", stdout, g.minted, stderr)
	}

	// One's own GitLab may be named by its own variable: its token goes nowhere else.
	text, _ = os.ReadFile(filepath.Join(home, "config.toml"))
	_, after, _ := strings.Cut(string(text), "gitlab = ")
	address, _, _ := strings.Cut(after, "\n")
	if err := os.WriteFile(filepath.Join(home, "config.toml"), []byte(strings.Replace(string(text), "gitlab = "+address, "", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GITLAB_HOST", strings.Trim(address, `"'`))
	status, _, stderr = fob("", "secret", "rotate", "gitlab", "--yes")
	want(t, "rotate at GITLAB_HOST", status, cli.ExitDone, stderr)
	if g.minted != 3 {
		t.Errorf("GitLab has made %d", g.minted)
	}
}

// A refusal changes nothing; an answer that never came is said to have been asked for.
func TestGitLabRefusesOrDoesNotAnswer(t *testing.T) {
	g := &gitlab{token: "glpat-canary", refuses: true}
	fob, _ := machineWithGitLab(t, g)
	status, _, stderr := fob(g.token, "secret", "set", "gitlab")
	want(t, "set", status, cli.ExitDone, stderr)
	status, _, stderr = fob("", "secret", "rotate", "gitlab", "--with", "gitlab", "--yes")
	want(t, "refused", status, cli.ExitFailed, stderr)
	if _, stdout, _ := fob("", "secret", "list", "--json"); strings.Contains(stdout, `"rotation"`) {
		t.Errorf("%s", stdout)
	}
	g.refuses, g.lost = false, true
	status, _, stderr = fob("", "secret", "rotate", "gitlab", "--with", "gitlab", "--yes")
	want(t, "lost", status, cli.ExitUnavailable, stderr)
	if !strings.Contains(stderr, "the issuer's response was lost") || !strings.Contains(stderr, "hint: check at the issuer") {
		t.Errorf("%s", stderr)
	}
	if _, stdout, _ := fob("", "secret", "list", "--json"); !strings.Contains(stdout, `"rotation": "asked"`) {
		t.Errorf("%s", stdout)
	}
	status, _, stderr = fob("glpat-canary-by-hand", "secret", "set", "gitlab")
	want(t, "set by hand", status, cli.ExitDone, stderr)
	if _, stdout, _ := fob("", "secret", "list", "--json"); strings.Contains(stdout, `"rotation"`) {
		t.Errorf("%s", stdout)
	}
}
