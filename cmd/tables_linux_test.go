package cmd

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/fobcli/fob/internal/ptytest"
)

// onTerminal runs a command on a terminal of a width, and returns what is shown.
func onTerminal(t *testing.T, width uint16, args ...string) string {
	t.Helper()
	person, program := ptytest.Open(t)
	if err := unix.IoctlSetWinsize(int(program.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: width}); err != nil {
		t.Fatal(err)
	}
	shown := make(chan string)
	go func() {
		text, _ := io.ReadAll(person) // ends with an error when the program's side is closed
		shown <- strings.ReplaceAll(string(text), "\r", "")
	}()
	t.Setenv("FOB_SEAL_KEY", strings.Repeat("ab", 32)) // which Main takes away
	status := Main(args, strings.NewReader(""), program, &bytes.Buffer{})
	_ = program.Close()
	text := <-shown
	if status > 1 {
		t.Fatalf("%q: exit status %d", args, status)
	}
	return text
}

// On a narrow terminal each table still has its important columns, and no line is cut by the
// terminal.
func TestTablesFitTheTerminal(t *testing.T) {
	home := t.TempDir()
	for name, value := range map[string]string{"FOB_HOME": home, "FOB_STORAGE": "file", "CI": "", "NO_COLOR": "1"} {
		t.Setenv(name, value)
	}
	settings := `
[profile.production-cluster]
issuer = "https://sso.production.example.com/realms/acme-corporation"
client_id = "fob-command-line-client"
storage = "file"
[profile.work]
issuer = "https://login.example.com"
client_id = "fob"
storage = "file"
[secret."stripe/production"]
to = ["dotenv:/srv/shop/.env#STRIPE_KEY"]
expires = 2027-01-31
storage = "file"
`
	if err := os.WriteFile(filepath.Join(home, "config.toml"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--owner", "billing", "--scope", "orders:read", "--scope", "invoices:write", "--expires", "90d", "--note", "the web server in Frankfurt, behind the proxy"},
		{"--owner", "a-customer-with-a-long-name", "--scope", "*:*", "--env", "dev"},
	} {
		onTerminal(t, 80, append([]string{"key", "create"}, args...)...)
	}
	for _, table := range []struct {
		args        []string
		at80, at120 []string
	}{
		{[]string{"key", "list"}, []string{"ID", "OWNER", "ENV", "STATE", "EXPIRES", "SCOPES"}, []string{"ID", "OWNER", "ENV", "STATE", "EXPIRES", "SCOPES", "NOTE"}},
		{[]string{"key", "audit"}, []string{"SEQ", "TIME", "ACTION", "KEY"}, []string{"SEQ", "TIME", "USER", "ACTION", "KEY"}},
		{[]string{"status"}, []string{"PROFILE", "STATE", "STORAGE", "SERVER"}, []string{"PROFILE", "STATE", "STORAGE", "SERVER"}},
		{[]string{"profile", "list"}, []string{"PROFILE", "SERVER", "CLIENT ID"}, []string{"PROFILE", "SERVER", "CLIENT ID"}},
		{[]string{"profile", "providers"}, []string{"NAME", "FLOWS", "SECRET", "REDIRECT URI", "SERVER"}, []string{"NAME", "FLOWS", "SECRET", "REDIRECT URI", "SERVER", "LOGOUT REVOKES"}},
		{[]string{"secret", "list"}, []string{"SECRET", "EXPIRES", "STORAGE", "PROBLEM"}, []string{"SECRET", "EXPIRES", "STORAGE", "DESTINATIONS", "PROBLEM"}},
		{[]string{"storage", "status"}, []string{"STORAGE", "KEY", "RECORD", "HEALTH"}, []string{"STORAGE", "KEY", "RECORD", "HEALTH"}},
	} {
		for width, want := range map[uint16][]string{80: table.at80, 120: table.at120} {
			text := onTerminal(t, width, table.args...)
			heading, _, _ := strings.Cut(text, "\n")
			for _, column := range want {
				if !strings.Contains(" "+heading+" ", " "+column+" ") {
					t.Errorf("%q at %d columns has no %s:\n%s", table.args, width, column, text)
				}
			}
			for line := range strings.Lines(text) {
				if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > int(width) {
					t.Errorf("%q at %d columns has a line of %d:\n%s", table.args, width, n, text)
				}
			}
		}
	}
}
