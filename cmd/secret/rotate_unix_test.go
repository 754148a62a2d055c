//go:build unix

package secret

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/app/apptest"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/secretstore"
)

// rotatable returns a machine with the secret db, whose value is one, and commands: mint
// prints two, drop stores the value that it revokes in a file.
func rotatable(t *testing.T) *apptest.Machine {
	t.Helper()
	dropped := filepath.Join(t.TempDir(), "dropped")
	m := apptest.New(t, fmt.Sprintf("[commands]\nmint = [\"echo\", \"two\"]\nbroken = [\"false\"]\nsilent = [\"true\"]\ndrop = [\"sh\", \"-c\", \"cat >%s\"]\n", dropped))
	m.Environ["DROPPED"] = dropped
	mustRun(t, m, "one", "set", "db", "--to", m.Dotenv("DB"))
	return m
}

func value(t *testing.T, m *apptest.Machine) string {
	t.Helper()
	stdout, _ := mustRun(t, m, "", "get", "db")
	return strings.TrimSpace(stdout)
}

func droppedValue(m *apptest.Machine) string {
	text, _ := os.ReadFile(m.Environ["DROPPED"])
	return string(text)
}

func TestRotate(t *testing.T) {
	for _, test := range []struct {
		name, stdin string
		args        []string
		value       string // afterwards
		dropped     string
		text        string // of the error or its hint
	}{
		{"from stdin", "two", nil, "two", "", ""},
		{"with a command", "", []string{"--with", "mint", "--yes"}, "two", "", ""},
		{"revoking the old value", "two", []string{"--retire-with", "drop", "--yes"}, "two", "one", ""},
		{"stdin overrides the command", "three", []string{"--stdin", "--retire-with", "drop", "--yes"}, "three", "one", ""},
		{"the same value", "one", nil, "one", "", "value"},
		{"no value", "", nil, "one", "", "empty"},
		{"without confirmation", "two", []string{"--retire-with", "drop"}, "one", "", "--yes"},
		{"a failed command", "", []string{"--with", "broken", "--yes"}, "one", "", "status 1"},
		{"a command without output", "", []string{"--with", "silent", "--yes"}, "one", "", "silent"},
		{"an unknown command", "", []string{"--with", "absent"}, "one", "", "[commands]"},
		{"nothing to resume", "", []string{"--resume"}, "one", "", "rotat"},
		{"nothing to abandon", "", []string{"--abandon", "--yes"}, "one", "", "rotat"},
		{"both", "", []string{"--abandon", "--resume"}, "one", "", "--resume"},
		{"dry run", "two", []string{"--retire-with", "drop", "--dry-run"}, "one", "", ""},
		{"dry run with a command", "", []string{"--with", "mint", "--dry-run"}, "one", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := rotatable(t)
			_, stderr, err := run(m, test.stdin, append([]string{"rotate", "db"}, test.args...)...)
			if test.text == "" && err != nil || test.text != "" && (err == nil || !strings.Contains(err.Error()+cli.CarriedHint(err), test.text)) {
				t.Errorf("%v", err)
			}
			if got := value(t, m); got != test.value || droppedValue(m) != test.dropped {
				t.Errorf("the value is %q, and %q was revoked: %v", got, droppedValue(m), err)
			}
			if delivered := strings.Contains(m.Env(), test.value); delivered != (test.value != "one") {
				t.Errorf("delivered: %t", delivered)
			}
			if strings.Contains(stderr, "two") {
				t.Errorf("the value is shown: %s", stderr)
			}
		})
	}
}

// A failed delivery keeps both values and revokes none; --resume delivers the new one, and
// --abandon returns to the old one.
func TestRotate_FailedDelivery(t *testing.T) {
	for _, abandon := range []bool{false, true} {
		m := rotatable(t)
		mustRun(t, m, "", "set", "db", "--keep", "--to", "exec:broken")
		_, _, err := run(m, "two", "rotate", "db", "--retire-with", "drop", "--yes", "--expires", "30d")
		if !errors.Is(err, cli.ErrUnfinished) || value(t, m) != "one" || droppedValue(m) != "" || !strings.Contains(m.Env(), "two") {
			t.Fatalf("%v, %s, %s", err, value(t, m), m.Env())
		}
		for _, args := range [][]string{{"rotate", "db"}, {"set", "db"}} {
			if _, _, err := run(m, "three", args...); !errors.Is(err, secretstore.ErrOpen) {
				t.Errorf("%q: %v", args, err)
			}
		}
		if listed, _ := mustRun(t, m, "", "list", "--json"); !strings.Contains(listed, `"rotation": "delivering"`) {
			t.Errorf("%s", listed)
		}
		if abandon {
			_, _, err := run(m, "", "rotate", "db", "--abandon")
			if !cli.IsUsage(err) || !strings.HasSuffix(cli.CarriedHint(err), " --yes'") {
				t.Errorf("without confirmation: %v, hint %q", err, cli.CarriedHint(err))
			}
			mustRun(t, m, "", "rotate", "db", "--abandon", "--yes")
			if value(t, m) != "one" || droppedValue(m) != "" {
				t.Errorf("abandoned: %s", value(t, m))
			}
			continue
		}
		if _, stderr := mustRun(t, m, "", "rotate", "db", "--resume", "--dry-run"); !strings.Contains(stderr, "exec:broken") {
			t.Errorf("dry run: %s", stderr)
		}
		fixed := strings.Replace(readConfig(t, m), `["false"]`, `["true"]`, 1)
		if err := os.WriteFile(filepath.Join(m.Home, "config.toml"), []byte(fixed), 0o600); err != nil {
			t.Fatal(err)
		}
		mustRun(t, m, "", "rotate", "db", "--resume", "--retire-with", "drop", "--yes")
		if value(t, m) != "two" || droppedValue(m) != "one" {
			t.Errorf("resumed: %s, revoked %s", value(t, m), droppedValue(m))
		}
		if s := settings(t, m, "db"); !s.Expires.Equal(time.Date(2026, 12, 30, 12, 0, 0, 0, time.UTC)) {
			t.Errorf("it expires at %s", s.Expires)
		}
	}
}

func readConfig(t *testing.T, m *apptest.Machine) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.Home, "config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A failed revocation leaves the new value in use, and --resume tries again.
func TestRotate_FailedRevocation(t *testing.T) {
	m := rotatable(t)
	_, _, err := run(m, "two", "rotate", "db", "--retire-with", "broken", "--yes")
	if !errors.Is(err, cli.ErrUnfinished) || value(t, m) != "two" {
		t.Fatalf("%v", err)
	}
	mustRun(t, m, "", "rotate", "db", "--resume", "--retire-with", "drop", "--yes")
	if droppedValue(m) != "one" {
		t.Errorf("%q was revoked", droppedValue(m))
	}
}

func TestRotate_AtGitLab(t *testing.T) {
	var asked string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = r.Header.Get("PRIVATE-TOKEN") + " " + string(body)
		_, _ = io.WriteString(w, `{"token":"two","expires_at":"2027-03-04"}`)
	}))
	defer server.Close()
	m := apptest.New(t, "[destination.url]\ngitlab = \""+server.URL+"\"\n")
	mustRun(t, m, "one", "set", "db", "--rotate-with", "gitlab")
	_, stderr := mustRun(t, m, "", "rotate", "db", "--expires", "2027-03-04", "--yes")
	if asked != `one {"expires_at":"2027-03-04"}` || value(t, m) != "two" || strings.Contains(stderr, "until you") {
		t.Errorf("%q: %s: %s", asked, value(t, m), stderr)
	}
	if s := settings(t, m, "db"); !s.Expires.Equal(time.Date(2027, 3, 4, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("it expires at %s", s.Expires)
	}
}

func TestParseExpiry(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 30, 15, 7, time.UTC)
	for text, want := range map[string]time.Time{
		"90d":                  time.Date(2027, 2, 28, 12, 30, 15, 0, time.UTC),
		"2h":                   time.Date(2026, 11, 30, 14, 30, 15, 0, time.UTC),
		"2027-01-31":           time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC),
		"2027-01-31T12:00:00Z": time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC),
		"never":                {},
	} {
		if got, err := parseExpiry(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "soon", "2026-11-29", "1y"} {
		if _, err := parseExpiry(text, now); !cli.IsUsage(err) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
