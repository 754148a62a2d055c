package cmd

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fobcli/fob/internal/cli"
)

// Whose credential a platform is shown: the command line's, else the configuration's,
// else that of the platform's usual variable. No platform sees another's.
func TestAs(t *testing.T) {
	var mu sync.Mutex // guards shown while fob runs: it asks both at once
	shown := make(map[string]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		platform, _, _ := strings.Cut(r.URL.Path[1:], "/")
		mu.Lock()
		defer mu.Unlock()
		shown[platform] = r.Header.Get("Authorization")
		_, _ = io.WriteString(w, "[]")
	}))
	defer server.Close()
	home := t.TempDir()
	const settings = "[destination]\nurl = { gitea = \"%s/gitea\", gitlab = \"%[1]s/gitlab\" }\n%s\n"
	fob := func(as string, stdin string, args ...string) (int, string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(home, "config.toml"), fmt.Appendf(nil, settings, server.URL, as), 0o600); err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{
			"FOB_HOME": home, "FOB_STORAGE": "file", "FOB_SEAL_KEY": strings.Repeat("ab", 32), "FOB_SECRET_DEPLOY": "canary-secret",
			"FOB_TOKEN_WORK": "canary-work", "FOB_TOKEN_OTHER": "canary-other", "GITEA_TOKEN": "canary-gitea", "GITLAB_TOKEN": "canary-gitlab",
		} {
			t.Setenv(name, value)
		}
		var stderr bytes.Buffer
		status := Main(args, strings.NewReader(stdin), io.Discard, &stderr)
		mu.Lock()
		defer mu.Unlock()
		if strings.Contains(stderr.String(), "canary") {
			t.Errorf("%v shows a credential: %s", args, stderr.String())
		}
		return status, stderr.String()
	}
	push := []string{"secret", "push", "deploy", "--to", "gitea:acme/web#A", "--to", "gitlab:acme/web#A"}
	for _, c := range []struct {
		as            string // the configuration's
		flags         []string
		gitea, gitlab string
	}{
		{"", nil, "gitea", "gitlab"},
		{"", []string{"--as", "work"}, "work", "work"},
		{"", []string{"--as", "gitea=work"}, "work", "gitlab"},
		{"", []string{"--as", "gitea=secret/deploy", "--as", "gitlab=other"}, "secret", "other"},
		{`as = { gitea = "secret/deploy" }`, nil, "secret", "gitlab"},
		{`as = { gitea = "secret/deploy" }`, []string{"--as", "gitlab=work"}, "secret", "work"},
		{`as = { gitea = "secret/deploy" }`, []string{"--as", "gitea=token/work"}, "work", "gitlab"},
		{`as = { gitea = "secret/deploy" }`, []string{"--as", "other"}, "other", "other"},
	} {
		clear(shown)
		status, stderr := fob(c.as, "", append(push, c.flags...)...)
		if status != cli.ExitDone || shown["gitea"] != "token canary-"+c.gitea || shown["gitlab"] != "Bearer canary-"+c.gitlab {
			t.Errorf("%s %v: %d, %v, %s", c.as, c.flags, status, shown, stderr)
		}
	}
	clear(shown)
	if status, stderr := fob("", "", "key", "create", "--owner", "shop", "--quiet", "--to", "gitea:acme/web#KEY", "--as", "gitea=work"); status != cli.ExitDone || shown["gitea"] != "token canary-work" {
		t.Errorf("a new key: %d, %v, %s", status, shown, stderr)
	}
	clear(shown)
	create := []string{"key", "create", "--owner", "slip", "--to", "gitea:acme/web#KEY"}
	for _, as := range []string{"gitea=", "secret/", "gitea=nothing/x", "../x", "gitea=secret/absent", "absent", "gitae=work"} {
		for _, args := range [][]string{push, create, append(create, "--dry-run"), {"incident"}} {
			if status, stderr := fob("", "", append(args, "--as", as)...); status != cli.ExitUsage || !strings.Contains(stderr, "hint: ") || len(shown) > 0 {
				t.Errorf("%v --as %s: %d, %v, %s", args, as, status, shown, stderr)
			}
		}
	}
	if _, stderr := fob("", "", "key", "list", "--owner", "slip"); !strings.Contains(stderr, "No keys match") {
		t.Error("a slip has made a key")
	}
}
