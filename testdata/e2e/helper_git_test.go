package e2e

import (
	"bytes"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// gitServer is git's own smart HTTP server, behind a door that wants a token of the
// issuer's: as a password (Basic), or as it is (Bearer).
type gitServer struct {
	*httptest.Server
	scheme  string
	mu      sync.Mutex // guards what follows
	tokens  []string   // that were let in
	refused int
	barred  string // a token that the server has ended
}

func startGitServer(t testing.TB, i *issuer, scheme string) *gitServer {
	t.Helper()
	root := t.TempDir()
	for _, args := range [][]string{{"init", "-q", "--bare", "team/x.git"}, {"-C", "team/x.git", "config", "http.receivepack", "true"}} {
		init := exec.Command("git", args...)
		init.Dir = root
		if out, err := init.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	libexec, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(libexec)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=ada", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
	}
	s := &gitServer{scheme: scheme}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.admits(i, r) {
			w.Header().Set("WWW-Authenticate", scheme+` realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *gitServer) admits(i *issuer, r *http.Request) bool {
	username, token, given := r.BasicAuth()
	if s.scheme == "Bearer" {
		username = "oauth2"
		token, given = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !given {
		return false
	}
	if _, err := i.origin(token); err != nil || username != "oauth2" || token == s.barred {
		s.refused++
		return false
	}
	s.tokens = append(s.tokens, token)
	return true
}

// seen is the token that was let in last, and how many were not.
func (s *gitServer) seen() (last string, refused int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens[len(s.tokens)-1], s.refused
}

// end refuses a token from now on, as a server that has revoked it.
func (s *gitServer) end(token string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.barred = token
}

// newGitMachine is logged in at the issuer, and its git asks fob.
func newGitMachine(t testing.TB, i *issuer, host, storage string) *machine {
	t.Helper()
	m := newMachineAt(t, append(sealed, "FOB_STORAGE="+storage, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com")...)
	if storage == "keyring" {
		m.startKeyring()
	}
	m.ok("login", "work", "--issuer", i.url, "--client-id", "fob-test", "--git-host", host)
	m.ok("helper", "install", "git")
	return m
}

// git runs the real git.
func (m *machine) git(stdin string, args ...string) result {
	m.t.Helper()
	cmd := m.command(append([]string{"git"}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	_ = cmd.Run()
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

func (m *machine) gitOK(args ...string) string {
	m.t.Helper()
	r := m.git("", args...)
	if r.status != 0 {
		m.t.Fatalf("git %v: exit status %d\n%s", args, r.status, r.stderr)
	}
	return r.stdout
}

func TestGitClonesFetchesAndPushes(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	server := startGitServer(t, i, "Basic")
	m := newGitMachine(t, i, server.URL, "file")
	url := server.URL + "/team/x.git"
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")

	m.gitOK("clone", "-q", url, one)
	if err := os.WriteFile(filepath.Join(one, "hello"), []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.gitOK("-C", one, "add", "hello")
	m.gitOK("-C", one, "commit", "-qm", "Say hello")
	m.gitOK("-C", one, "push", "-q", "origin", "HEAD:main")
	m.gitOK("clone", "-q", "-b", "main", url, two)
	m.gitOK("-C", two, "commit", "-qm", "Say nothing", "--allow-empty")
	m.gitOK("-C", two, "push", "-q")
	m.gitOK("-C", one, "fetch", "-q")
	if head := m.gitOK("-C", two, "rev-parse", "HEAD"); m.gitOK("-C", one, "rev-parse", "origin/main") != head {
		t.Error("what was pushed was not fetched")
	}
	ended, refused := server.seen()
	if refused != 0 || i.count("token/refresh") != 0 {
		t.Errorf("%d refusals, %d refreshes", refused, i.count("token/refresh"))
	}

	// The server ends the token: git fails once and says so, and the next call is well.
	server.end(ended)
	if r := m.git("", "ls-remote", url); r.status == 0 || !strings.Contains(r.stderr, "Authentication failed") {
		t.Errorf("%d\n%s", r.status, r.stderr)
	}
	m.gitOK("ls-remote", url)
	if last, _ := server.seen(); i.count("token/refresh") != 1 || last == ended {
		t.Error("the token that was refused is used again")
	}
	m.ok("status", "work")

	// Another port of the same host gets nothing.
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("another port was shown a credential")
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(elsewhere.Close)
	if r := m.git("", "ls-remote", elsewhere.URL+"/team/x.git"); r.status == 0 {
		t.Error("it was answered without a credential")
	}

	// Without a login git stops, and fob says why.
	m.ok("logout", "work")
	if r := m.git("", "ls-remote", url); r.status == 0 || !strings.Contains(r.stderr, "hint: run 'fob login work'") || !strings.Contains(r.stderr, "told us to quit") {
		t.Errorf("%d\n%s", r.status, r.stderr)
	}
	m.ok("helper", "uninstall", "git")
	if left := readText(t, filepath.Join(m.home, ".gitconfig")); strings.Contains(left, "fob") {
		t.Errorf("left in git's configuration:\n%s", left)
	}
}

// A git that takes a header as it stands shows a Bearer token, and gives its other helpers
// nothing to keep.
func TestGitShowsABearerToken(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	bearer, basic := startGitServer(t, i, "Bearer"), startGitServer(t, i, "Basic")
	m := newGitMachine(t, i, bearer.URL, "file")
	m.ok("profile", "set", "work", "--git-host", bearer.URL, "--git-host", basic.URL)
	m.ok("helper", "install", "git")
	if !strings.Contains(m.git("", "credential", "capability").stdout, "capability authtype") { // before 2.46
		m.gitOK("ls-remote", basic.URL+"/team/x.git")
		if r := m.git("", "ls-remote", bearer.URL+"/team/x.git"); r.status == 0 {
			t.Error("this git says that it shows no Bearer token, and does")
		}
		return
	}
	m.gitOK("config", "--global", "credential.helper", "store")
	for _, server := range []*gitServer{bearer, basic} {
		m.gitOK("ls-remote", server.URL+"/team/x.git")
		token, refused := server.seen()
		if refused != 0 {
			t.Errorf("%s: %d refusals", server.scheme, refused)
		}
		if kept, err := os.ReadFile(filepath.Join(m.home, ".git-credentials")); err == nil && strings.Contains(string(kept), token) {
			t.Errorf("%s: git's store has kept the token", server.scheme)
		}
	}
	ended, _ := bearer.seen()
	bearer.end(ended)
	if r := m.git("", "ls-remote", bearer.URL+"/team/x.git"); r.status == 0 {
		t.Error("the server takes a token that it has ended")
	}
	m.gitOK("ls-remote", bearer.URL+"/team/x.git")
	if i.count("token/refresh") != 1 {
		t.Errorf("%d refreshes", i.count("token/refresh"))
	}
}

// What git's own t0303 asks of every helper, as far as one can be asked that keeps no
// password: it gives out its own, to whom it is meant for, and takes none.
func TestGitCredentialProtocol(t *testing.T) {
	t.Parallel()
	i := startIssuer(t)
	m := newGitMachine(t, i, "https://git.example.com", "file")
	const asked = "protocol=https\nhost=git.example.com\n"
	token := strings.TrimSpace(m.ok("token", "work"))
	answer := asked + "username=oauth2\npassword=" + token + "\n"

	fill := func(described string) result {
		t.Helper()
		return m.git(described, "credential", "fill")
	}
	well := func(what string) {
		t.Helper()
		// git passes on of the answer what it knows; the end of a token from 2.40 on.
		if r := fill(asked); r.status != 0 || !strings.HasPrefix(r.stdout, answer) {
			t.Errorf("%s: %d\n%s%s", what, r.status, r.stdout, r.stderr)
		}
	}
	well("get")
	if r := m.git(asked+"username=ada\npassword=typed\n\n", "credential", "approve"); r.status != 0 {
		t.Errorf("store: %s", r.stderr)
	}
	well("get after store: nothing was kept")
	for _, other := range []string{
		"protocol=https\nhost=other.example.com\n", "protocol=http\nhost=git.example.com\n",
		"protocol=https\nhost=git.example.com:8443\n", "protocol=https\nhost=git.example.com.evil.test\n",
	} {
		if r := fill(other); r.status == 0 || strings.Contains(r.stdout, token) {
			t.Errorf("%q is answered: %s", other, r.stdout)
		}
	}
	if r := fill(asked + "path=any/repository.git\n"); !strings.Contains(r.stdout, "password="+token) {
		t.Errorf("with a path: %s%s", r.stdout, r.stderr)
	}
	if r := m.git(asked+"username=oauth2\npassword=another\n\n", "credential", "reject"); r.status != 0 {
		t.Errorf("erase of another: %s", r.stderr)
	}
	well("get after erase of another")
	if r := m.git(answer+"\n", "credential", "reject"); r.status != 0 || i.count("token/refresh") != 0 {
		t.Errorf("erase: %s, %d refreshes", r.stderr, i.count("token/refresh"))
	}
	if r := fill(asked); r.status != 0 || strings.Contains(r.stdout, token) || i.count("token/refresh") != 1 {
		t.Errorf("get after erase: %s%s", r.stdout, r.stderr)
	}
}
