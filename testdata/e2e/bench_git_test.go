package e2e

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkGit measures what fob's helper adds to a call of git, over a token in a header
// from the start, which also saves a round trip; and compares fob with gh.
func BenchmarkGit(b *testing.B) {
	t, began := newTable(b, "Git"), time.Now()
	now, older := fob, buildCommit(b, "0b8d23c")
	i := startIssuer(b)
	server := startGitServer(b, i, "Basic")
	list := []string{"git", "ls-remote", server.URL + "/team/x.git"}
	for _, storage := range []string{"file", "keyring"} {
		fob = copyOf(b, now)
		ours := newGitMachine(b, i, server.URL, storage)
		fob = copyOf(b, older)
		theirs := newGitMachine(b, i, server.URL, storage)
		fob = now
		header := *ours
		credential := base64.StdEncoding.EncodeToString([]byte("oauth2:" + strings.TrimSpace(ours.ok("token", "work"))))
		header.env = append(slices.Clone(ours.env), "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http.extraHeader", "GIT_CONFIG_VALUE_0=Authorization: Basic "+credential)
		all := t.inTurn(command{ours, list}, command{theirs, list}, command{&header, list})
		t.addPair(all[0].over(all[2]), all[1].over(all[2]), "ms", fmt.Sprintf("%d, %d", command{ours, list}.systemCalls(), command{theirs, list}.systemCalls()))
	}
	m := newMachineAt(b, sealed...)
	m.loginAt(i)
	m.writeGh()
	gh := []string{"gh", "auth", "token"}
	if out, err := m.command(gh...).Output(); err != nil || string(out) != "gho_e2e\n" {
		b.Fatalf("gh: %q, %v", out, err)
	}
	t.pair(command{m, []string{fob, "token", "work"}}, command{m, gh})
	t.finish(began)
}

// over returns what the rounds of one command took longer than those of another.
func (s samples) over(other samples) (more samples) {
	for i := range s.wall {
		more.wall = append(more.wall, s.wall[i]-other.wall[i])
		more.cpu = append(more.cpu, s.cpu[i]-other.cpu[i])
		more.faults = append(more.faults, s.faults[i]-other.faults[i])
	}
	return more
}

// writeGh writes gh's files as its login without a keyring does.
func (m *machine) writeGh() {
	m.t.Helper()
	dir := filepath.Join(m.home, ".config", "gh")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		m.t.Fatal(err)
	}
	for name, text := range map[string]string{
		"config.yml": "version: \"1\"\n",
		"hosts.yml":  "github.com:\n    git_protocol: https\n    users:\n        ada:\n            oauth_token: gho_e2e\n    user: ada\n    oauth_token: gho_e2e\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			m.t.Fatal(err)
		}
	}
}
