package secret

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/app/apptest"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/secretstore"
)

// run runs 'fob secret' with arguments and stdin, and returns what it printed.
func run(m *apptest.Machine, stdin string, args ...string) (stdout, stderr string, err error) {
	m.Reset()
	m.In = strings.NewReader(stdin)
	c := New(m.App)
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs(args)
	err = c.Execute()
	return m.Out.String(), m.Err.String(), err
}

// mustRun is run for what must not fail.
func mustRun(t *testing.T, m *apptest.Machine, stdin string, args ...string) (stdout, stderr string) {
	t.Helper()
	stdout, stderr, err := run(m, stdin, args...)
	if err != nil {
		t.Fatalf("fob secret %s: %v", strings.Join(args, " "), err)
	}
	return stdout, stderr
}

// settings reads a secret's table in config.toml.
func settings(t *testing.T, m *apptest.Machine, name string) config.Secret {
	t.Helper()
	cfg, err := m.Config()
	if err != nil {
		t.Fatal(err)
	}
	return cfg.Secrets[name]
}

func TestSet(t *testing.T) {
	for _, test := range []struct {
		name, stdin string
		args        []string
		want        string // what 'get' prints; empty: an error
		text        string // of the error or its hint
	}{
		{"a line", "s3cret\n", nil, "s3cret\n", ""},
		{"without a newline", "s3cret", nil, "s3cret\n", ""},
		{"several lines", "-----BEGIN\nabc\n-----END\n", nil, "-----BEGIN\nabc\n-----END\n", ""},
		{"two newlines", "s3cret\n\n", nil, "s3cret\n\n", ""},
		{"spaces", " s3cret ", nil, " s3cret \n", ""},
		{"empty", "\n", nil, "", "empty"},
		{"a NUL", "a\x00b", nil, "", "NUL"},
		{"a Windows file", "s3cret\r\n", nil, "", "tr -d"},
		{"too long", strings.Repeat("x", secretstore.MaxValue+1), nil, "", "64 KiB"},
		{"the longest", strings.Repeat("x", secretstore.MaxValue) + "\n", nil, strings.Repeat("x", secretstore.MaxValue) + "\n", ""},
		{"an end in the past", "s3cret", []string{"--expires", "2026-01-01"}, "", "2026-01-01"},
		{"an unknown storage", "s3cret", []string{"--storage", "cloud"}, "", "cloud"},
		{"an unknown command", "s3cret", []string{"--rotate-with", "absent"}, "", "[commands]"},
		{"GitLab revokes nothing by itself", "s3cret", []string{"--retire-with", "gitlab"}, "", "[commands]"},
		{"an invalid destination", "s3cret", []string{"--to", "nowhere"}, "", "destination"},
		{"an empty flag", "s3cret", []string{"--expires", ""}, "", "--expires"},
		{"--keep without a secret", "", []string{"--keep", "--expires", "90d"}, "", "stripe/prod"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := apptest.New(t, "")
			_, stderr, err := run(m, test.stdin, append([]string{"set", "stripe/prod"}, test.args...)...)
			if (err == nil) != (test.want != "") {
				t.Fatalf("%v", err)
			}
			if err != nil {
				if !strings.Contains(err.Error()+" "+cli.CarriedHint(err), test.text) || strings.Contains(err.Error(), "s3cret") {
					t.Errorf("%v (hint %q)", err, cli.CarriedHint(err))
				}
				if s := settings(t, m, "stripe/prod"); s.Name != "" {
					t.Errorf("a failure left settings: %+v", s)
				}
				return
			}
			if stdout, _ := mustRun(t, m, "", "get", "stripe/prod"); stdout != test.want {
				t.Errorf("%.40q", stdout)
			}
			if strings.Contains(stderr, "s3cret") {
				t.Error("the value is shown")
			}
		})
	}
}

func TestSet_Settings(t *testing.T) {
	m := apptest.New(t, "[commands]\nnew = [\"true\"]\ndrop = [\"true\"]\n")
	mustRun(t, m, "one", "set", "db", "--expires", "90d", "--to", m.Dotenv("DB"), "--rotate-with", "new", "--retire-with", "drop")
	s := settings(t, m, "db")
	if want := time.Date(2027, 2, 28, 12, 0, 0, 0, time.UTC); !s.Expires.Equal(want) || len(s.To) != 1 || s.RotateWith != "new" || s.RetireWith != "drop" || s.Storage != "file" {
		t.Errorf("%+v", s)
	}
	if m.Env() != "" {
		t.Error("'set' delivers")
	}
	mustRun(t, m, "", "set", "db", "--keep", "--to", m.Dotenv("DB"), "--to", m.Dotenv("DB2"), "--expires", "never", "--rotate-with", "gitlab")
	s = settings(t, m, "db")
	if !s.Expires.IsZero() || len(s.To) != 2 || s.RotateWith != "gitlab" || s.RetireWith != "drop" {
		t.Errorf("%+v", s)
	}
	if stdout, _ := mustRun(t, m, "", "get", "db"); stdout != "one\n" {
		t.Errorf("--keep changed the value: %q", stdout)
	}
	for _, test := range []struct {
		args []string
		text string
	}{
		{[]string{"set", "db", "--keep", "--storage", "keyring"}, "migrate"},
		{[]string{"set", "other", "--to", m.Dotenv("DB")}, "--force"},
		{[]string{"set"}, "stripe/prod"},
		{[]string{"set", "not/a/NAME"}, "stripe/prod"},
		{[]string{"set", "sk_live_51H8"}, "stdin"},
	} {
		_, _, err := run(m, "two", test.args...)
		if err == nil || !cli.IsUsage(err) || !strings.Contains(err.Error()+cli.CarriedHint(err), test.text) || strings.Contains(err.Error(), "sk_live") {
			t.Errorf("%q: %v (hint %q)", test.args, err, cli.CarriedHint(err))
		}
	}
	mustRun(t, m, "two", "set", "other", "--to", m.Dotenv("DB"), "--force")
	// A name whose variable is another secret's.
	mustRun(t, m, "x", "set", "a/b")
	if _, _, err := run(m, "x", "set", "a-b"); !errors.Is(err, config.ErrShared) || !errors.As(err, new(*secretstore.Error)) {
		t.Errorf("%v", err)
	}
}

func TestSet_StorageNone(t *testing.T) {
	m := apptest.New(t, "")
	m.Environ["FOB_STORAGE"] = "none"
	_, _, err := run(m, "x", "set", "db")
	if !cli.IsUsage(err) || !strings.Contains(cli.CarriedHint(err), "FOB_SECRET_DB") {
		t.Errorf("%v (hint %q)", err, cli.CarriedHint(err))
	}
}

func TestGet(t *testing.T) {
	m := apptest.New(t, "")
	mustRun(t, m, "one", "set", "stripe/prod")
	stdout, _ := mustRun(t, m, "", "get", "stripe/prod", "--json")
	var out valueJSON
	if err := json.Unmarshal([]byte(stdout), &out); err != nil || out.Value != "one" || !out.SetAt.Equal(m.Time) {
		t.Errorf("%s: %v", stdout, err)
	}
	m.Environ["FOB_SECRET_STRIPE_PROD"] = "override"
	if stdout, _ := mustRun(t, m, "", "get", "stripe/prod"); stdout != "override\n" {
		t.Errorf("%q", stdout)
	}
	if _, stderr := mustRun(t, m, "two", "set", "stripe/prod"); !strings.Contains(stderr, "FOB_SECRET_STRIPE_PROD") {
		t.Errorf("no warning: %s", stderr)
	}
	mustRun(t, m, "\xfe\x80", "set", "binary")
	if stdout, _ := mustRun(t, m, "", "get", "binary"); stdout != "\xfe\x80\n" {
		t.Errorf("%q", stdout)
	}
	if _, _, err := run(m, "", "get", "binary", "--json"); err == nil {
		t.Error("JSON of what is not UTF-8")
	}
	_, _, err := run(m, "", "get", "stripe/prdo")
	if !cli.IsUsage(err) || !strings.Contains(cli.CarriedHint(err), "stripe/prod") {
		t.Errorf("%v (hint %q)", err, cli.CarriedHint(err))
	}
}

func TestList(t *testing.T) {
	m := apptest.New(t, "")
	if stdout, stderr := mustRun(t, m, "", "list"); stdout != "" || stderr == "" {
		t.Errorf("%q %q", stdout, stderr)
	}
	mustRun(t, m, "x", "set", "soon", "--expires", "10d", "--to", m.Dotenv("SOON"))
	mustRun(t, m, "x", "set", "later", "--expires", "90d")
	mustRun(t, m, "x", "set", "never")
	for _, test := range []struct {
		args  []string
		names []string
		found bool // with --exit-code
	}{
		{nil, []string{"later", "never", "soon"}, true},
		{[]string{"--expiring", "5d"}, []string{}, false},
		{[]string{"--expiring", "14d"}, []string{"soon"}, true},
		{[]string{"--expiring", "100d"}, []string{"later", "soon"}, true},
	} {
		stdout, _ := mustRun(t, m, "", append([]string{"list", "--json"}, test.args...)...)
		var list []app.SecretJSON
		if err := json.Unmarshal([]byte(stdout), &list); err != nil || len(list) != len(test.names) {
			t.Fatalf("%q: %s %v", test.args, stdout, err)
		}
		for i, name := range test.names {
			if list[i].Name != name || list[i].Storage != "file" || list[i].Problem != "" {
				t.Errorf("%q: %+v", test.args, list[i])
			}
		}
		_, _, err := run(m, "", append([]string{"list", "--exit-code"}, test.args...)...)
		if errors.As(err, new(*cli.FindingsError)) != test.found {
			t.Errorf("%q: %v", test.args, err)
		}
	}
	table, _ := mustRun(t, m, "", "list")
	if !strings.Contains(table, m.Dotenv("SOON")) || !strings.Contains(table, "2026-11-30") {
		t.Errorf("%s", table)
	}
	if err := os.RemoveAll(filepath.Join(m.Home, "data", "records")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := run(m, "", "list", "--expiring", "soon"); !cli.IsUsage(err) {
		t.Error(err)
	}
}

func TestPush(t *testing.T) {
	m := apptest.New(t, "[commands]\nbroken = [\"false\"]\n")
	mustRun(t, m, "one", "set", "db")
	_, _, err := run(m, "", "push", "db")
	if !cli.IsUsage(err) || !strings.Contains(cli.CarriedHint(err), "--to") {
		t.Errorf("no destination: %v", err)
	}
	if _, stderr := mustRun(t, m, "", "push", "db", "--to", m.Dotenv("DB"), "--dry-run"); m.Env() != "" || !strings.Contains(stderr, m.Dotenv("DB")) {
		t.Errorf("dry run: %s", stderr)
	}
	mustRun(t, m, "", "push", "db", "--to", m.Dotenv("ONCE"), "--once")
	if s := settings(t, m, "db"); len(s.To) > 0 || !strings.Contains(m.Env(), "ONCE=") {
		t.Errorf("%v %s", s.To, m.Env())
	}
	// What failed is not noted, and what arrived is.
	stdout, _, err := run(m, "", "push", "db", "--to", "exec:broken", "--to", m.Dotenv("DB"), "--json")
	var results []struct {
		Destination, Problem string
		Delivered            bool
	}
	if json.Unmarshal([]byte(stdout), &results) != nil || len(results) != 2 || results[0].Delivered || results[0].Problem == "" || !results[1].Delivered {
		t.Errorf("%s", stdout)
	}
	var failures cli.Failures
	if !errors.As(err, &failures) || len(failures) != 1 {
		t.Errorf("%v", err)
	}
	if s := settings(t, m, "db"); len(s.To) != 1 || s.To[0] != m.Dotenv("DB") {
		t.Errorf("%v", s.To)
	}
	mustRun(t, m, "two", "set", "other")
	if _, _, err := run(m, "", "push", "other", "--to", m.Dotenv("DB")); !cli.IsUsage(err) {
		t.Errorf("conflict: %v", err)
	}
	if strings.Contains(m.Env(), "two") {
		t.Error("the other secret was overwritten")
	}
	mustRun(t, m, "a\rb", "set", "lines")
	if _, _, err := run(m, "", "push", "lines", "--to", "exec:broken", "--to", m.Dotenv("LINES")); err == nil || strings.Contains(err.Error(), "broken") {
		t.Errorf("it was delivered although one destination does not take it: %v", err)
	}
}

func TestRemove(t *testing.T) {
	m := apptest.New(t, "")
	mustRun(t, m, "one", "set", "db", "--to", m.Dotenv("DB"))
	if _, _, err := run(m, "", "remove", "db"); !cli.IsUsage(err) || !strings.Contains(cli.CarriedHint(err), "--yes") {
		t.Errorf("without confirmation: %v", err)
	}
	if _, stderr := mustRun(t, m, "", "remove", "db", "--dry-run"); !strings.Contains(stderr, m.Dotenv("DB")) {
		t.Errorf("%s", stderr)
	}
	mustRun(t, m, "", "get", "db")
	mustRun(t, m, "", "remove", "db", "--yes")
	if _, _, err := run(m, "", "get", "db"); !cli.IsUsage(err) || settings(t, m, "db").Name != "" {
		t.Errorf("%v", err)
	}
	if _, _, err := run(m, "", "remove", "db", "--yes"); !cli.IsUsage(err) {
		t.Errorf("again: %v", err)
	}
}
