package cmd

import (
	"bytes"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/hostiletest"
)

// fobOf runs fob with a registry and a home of its own.
func fobOf(t *testing.T) (run func(stdin string, args ...string) (stdout, stderr string), db *sql.DB) {
	t.Helper()
	home := filepath.Join(t.TempDir(), "home")
	path := filepath.Join(t.TempDir(), "registry.db")
	run = func(stdin string, args ...string) (string, string) {
		for name, value := range map[string]string{"FOB_HOME": home, "FOB_REGISTRY": "sqlite:" + path, "FOB_STORAGE": "file", "FOB_SEAL_KEY": strings.Repeat("ab", 32), "NO_COLOR": "1"} {
			t.Setenv(name, value) // Main takes the secrets among them away
		}
		var stdout, stderr bytes.Buffer
		Main(args, strings.NewReader(stdin), &stdout, &stderr)
		return stdout.String(), stderr.String()
	}
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return run, db
}

func checkInert(t *testing.T, args []string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		for _, bad := range []string{"\x1b", "\a", "\u009b", "\u202e", "##vso", "\n::stop", "\n\t:4", "\n;touch"} {
			if strings.Contains(text, bad) {
				t.Errorf("%q printed %q: %q", args, bad, text)
				break
			}
		}
	}
}

func TestH61RegistryTextIsInert(t *testing.T) {
	run, db := fobOf(t)
	key, _ := run("", "key", "create", "--owner", "a", "--scope", "orders:read")
	key = strings.TrimSpace(key)
	id := strings.Split(key, "_")[2]
	run("", "key", "create", "--owner", "b")
	run("", "key", "rotate", id)
	for _, statement := range []string{
		"UPDATE api_key SET owner = ?1, environment = ?1, scopes = ?1, rate = ?1, note = ?1, predecessor = ?1",
		"UPDATE api_key SET metadata = '{\"a\":\"' || replace(replace(replace(replace(?1, char(10), '\\n'), char(27), '\\u001b'), char(7), ''), char(9), '') || '\"}'",
		"UPDATE api_key SET id = ?1 WHERE owner <> '' AND id NOT IN (SELECT old_id FROM rotation) AND id NOT IN (SELECT new_id FROM rotation)",
		"UPDATE audit_log SET actor = ?1, action = ?1, detail = ?1, key_id = ?1 WHERE seq > 1",
		"UPDATE audit_log SET actor = ?1, action = ?1, detail = ?1 WHERE seq = 1",
		"UPDATE rotation SET phase = ?1",
	} {
		if _, err := db.Exec(statement, hostiletest.Hostile); err != nil {
			t.Fatal(statement, err)
		}
	}
	for _, args := range [][]string{
		{"key", "list"},
		{"key", "list", "--json"},
		{"key", "show", id},
		{"key", "show", id, "--json"},
		{"key", "export"},
		{"key", "audit"},
		{"key", "audit", id},
		{"key", "audit", "--json"},
		{"key", "audit", "--verify"},
		{"key", "verify"},
		{"key", "verify", "--json"},
		{"key", "verify", "--scope", "orders:write"},
		{"key", "verify", "--scope", "orders:write", "--json"},
		{"key", "rotate", id},
		{"key", "rotate", "--state", "retiring", "--state", "active", "--dry-run"},
		{"key", "revoke", "--state", "retiring", "--state", "active"},
		{"key", "update", id, "--owner", "c"},
		{"key", "update", id, "--rate", "1/s"},
		{"__complete", "key", "show", ""},
	} {
		stdout, stderr := run(key, args...)
		if stdout+stderr == "" {
			t.Errorf("%q printed nothing", args)
		}
		checkInert(t, args, stdout, stderr)
	}
}

func TestH61PepperOfTheRegistryIsInert(t *testing.T) {
	run, db := fobOf(t)
	key, _ := run("", "key", "create", "--owner", "a")
	for _, statement := range []string{"UPDATE registry SET pepper = ?1", "UPDATE api_key SET pepper = ?1"} {
		if _, err := db.Exec(statement, hostiletest.Hostile); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"key", "verify"}, {"key", "create", "--owner", "b"}, {"key", "list"}, {"key", "show", strings.Split(key, "_")[2]}, {"key", "audit", "--verify"}} {
		stdout, stderr := run(key, args...)
		checkInert(t, args, stdout, stderr)
		if strings.Contains(stderr, "touch pwned") && strings.Contains(stderr, "'fob key pepper add") {
			t.Errorf("the hint has a command of the registry's in it: %s", stderr)
		}
	}
}

// A list from elsewhere must not bring such texts in.
func TestG56HostileListIsNotImported(t *testing.T) {
	run, _ := fobOf(t)
	hash := strings.Repeat("ab", 32)
	for _, line := range []string{
		`"id":"1aaaaaaaaaaa","pepper":"p1; touch pwned"`,
		`"id":"1aaaaaaaaaaa","pepper":"p\u001b]0;t"`,
		`"predecessor":"x\u009b31m"`,
		`"predecessor":"` + strings.Repeat("x", 60_000) + `"`,
	} {
		_, stderr := run(`{"hash":"`+hash+`","owner":"a","environment":"test",`+line+"}\n", "key", "import")
		if !strings.Contains(stderr, "error: line 1: ") {
			t.Errorf("%.60s was imported: %s", line, stderr)
		}
		checkInert(t, []string{"import"}, stderr)
	}
}
