package ci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/secret"
)

// job is a machine with these variables.
func job(t *testing.T, env map[string]string) Machine {
	t.Helper()
	hc, err := httpclient.New(httpclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return Machine{Getenv: func(name string) string { return env[name] }, HTTP: hc}
}

func identity(t *testing.T, m Machine, source, audience string, command ...string) (string, error) {
	t.Helper()
	s, err := ParseSource(source)
	if err != nil {
		t.Fatal(err)
	}
	token, err := m.IdentityToken(t.Context(), s, audience, command)
	return token.Reveal(), err
}

func TestSources(t *testing.T) {
	for _, text := range []string{"", "github", "gitlab", "env:X", "file:/run/token", "file:a:b", "command"} {
		if _, err := ParseSource(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"gitea", "env", "env:", "file:", "github:x", "command:x", ":", "\x1b[31m"} {
		if s, err := ParseSource(text); err == nil || strings.Contains(fmt.Sprint(err), "\x1b") {
			t.Errorf("%q: %v, %v", text, s, err)
		}
	}
}

// gitHub is the endpoint that GitHub Actions gives to a job.
func gitHub(t *testing.T, handler http.HandlerFunc) map[string]string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return map[string]string{
		"GITHUB_ACTIONS":                 "true",
		"ACTIONS_ID_TOKEN_REQUEST_URL":   server.URL + "/token?api-version=2",
		"ACTIONS_ID_TOKEN_REQUEST_TOKEN": "canary-bearer",
	}
}

func TestGitHub(t *testing.T) {
	env := gitHub(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer canary-bearer" || r.FormValue("api-version") != "2" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"count":1,"value":"token-for-%s"}`, strings.TrimPrefix(r.FormValue("audience"), "https://"))
	})
	for _, source := range []string{"", "github"} {
		if token, err := identity(t, job(t, env), source, "https://sso.example.com"); err != nil || token != "token-for-sso.example.com" {
			t.Errorf("%q: %s, %v", source, token, err)
		}
	}
	delete(env, "ACTIONS_ID_TOKEN_REQUEST_TOKEN")
	if _, err := identity(t, job(t, env), "", ""); !errors.Is(err, ErrNotGiven) || !strings.Contains(err.Error(), "id-token: write") {
		t.Errorf("without the permission: %v", err)
	}
}

func TestHostileAnswers(t *testing.T) {
	seen := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen++ }))
	defer other.Close()
	for name, handler := range map[string]http.HandlerFunc{
		"500":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"HTML":   func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>canary") },
		"empty":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"value":""}`) },
		"CR LF":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"value":"canary\r\nX: y"}`) },
		"escape": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"value":"canary\u001b[31m"}`) },
		"large": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"value":"`+strings.Repeat("x", 100<<10)+`"}`)
		},
		"huge": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"value":"`+strings.Repeat("x", 2<<20)+`"}`)
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) },
	} {
		token, err := identity(t, job(t, gitHub(t, handler)), "github", "a")
		if err == nil || token != "" || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %q, %v", name, token, err)
		}
	}
	if seen != 0 {
		t.Errorf("B19 another host saw %d requests", seen)
	}
}

func TestTheBearerGoesNowhereElse(t *testing.T) {
	for _, address := range []string{"http://actions.example.com/token", "file:///etc/passwd", "https://user@x/", "-flag", "https://x/\nhttps://y"} {
		env := map[string]string{"ACTIONS_ID_TOKEN_REQUEST_URL": address, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "canary-bearer"}
		m := job(t, env)
		m.HTTP = &http.Client{Transport: refuse{t}}
		if _, err := identity(t, m, "github", ""); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

type refuse struct{ t *testing.T }

func (r refuse) RoundTrip(req *http.Request) (*http.Response, error) {
	r.t.Errorf("the bearer was sent to %s", req.URL)
	return nil, errors.New("no")
}

func TestVariables(t *testing.T) {
	env := map[string]string{"GITLAB_CI": "true", GitLabVariable: "gitlab-token", "OTHER": "other-token\n", "BAD": "canary token"}
	for source, want := range map[string]string{"": "gitlab-token", "gitlab": "gitlab-token", "env:OTHER": "other-token"} {
		if token, err := identity(t, job(t, env), source, ""); err != nil || token != want {
			t.Errorf("%s: %s, %v", source, token, err)
		}
	}
	if _, err := identity(t, job(t, env), "env:NONE", ""); !errors.Is(err, ErrNotGiven) {
		t.Error(err)
	}
	if _, err := identity(t, job(t, env), "env:BAD", ""); !errors.Is(err, ErrMalformed) || strings.Contains(err.Error(), "canary") {
		t.Error(err)
	}
	if _, err := identity(t, job(t, nil), "", ""); !errors.Is(err, ErrNoSource) {
		t.Error(err)
	}
}

// A projected token of Kubernetes is a link to a link, and is replaced in place.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	target, path := filepath.Join(dir, "..data"), filepath.Join(dir, "token")
	write := func(content string) {
		if err := os.WriteFile(target, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("first")
	if err := os.Symlink(target, path); err != nil {
		t.Skip("no links here: ", err)
	}
	for _, want := range []string{"first", "second"} {
		write(want + "\n")
		if token, err := identity(t, job(t, nil), "file:"+path, ""); err != nil || token != want {
			t.Errorf("%s, %v", token, err)
		}
	}
	write(strings.Repeat("x", maxToken+1))
	if _, err := identity(t, job(t, nil), "file:"+path, ""); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
	if _, err := identity(t, job(t, nil), "file:"+dir, ""); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
	if _, err := identity(t, job(t, nil), "file:"+filepath.Join(dir, "none"), ""); !errors.Is(err, ErrNotGiven) {
		t.Error(err)
	}
}

func TestCommands(t *testing.T) {
	m := job(t, nil)
	m.Run = func(_ context.Context, argv []string) ([]byte, error) {
		if argv[0] == "fails" {
			return nil, errors.New("exit status 1")
		}
		return []byte(strings.Join(argv, "-") + "\n"), nil
	}
	if token, err := identity(t, m, "command", "", "print", "it"); err != nil || token != "print-it" {
		t.Errorf("%s, %v", token, err)
	}
	if _, err := identity(t, m, "command", "", "fails"); err == nil {
		t.Error("a command that fails gives a token")
	}
	if _, err := identity(t, m, "command", ""); !errors.Is(err, ErrNoSource) {
		t.Error(err)
	}
}

func TestMaskCommand(t *testing.T) {
	for env, want := range map[string]string{"GITHUB_ACTIONS=true": "::add-mask::tok", "TF_BUILD=True": "##vso[task.setsecret]tok", "GITLAB_CI=true": ""} {
		name, value, _ := strings.Cut(env, "=")
		line, known := MaskCommand(func(n string) string { return map[string]string{name: value}[n] }, secret.New("tok"))
		if line != want || known != (want != "") {
			t.Errorf("%s: %q, %v", env, line, known)
		}
	}
}
