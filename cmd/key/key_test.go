package key

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app/apptest"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
)

// run runs 'fob key' with arguments and stdin, and returns what it printed.
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
		t.Fatalf("fob key %s: %v", strings.Join(args, " "), err)
	}
	return stdout, stderr
}

// create creates a key and returns it with its id.
func create(t *testing.T, m *apptest.Machine, args ...string) (text, id string) {
	t.Helper()
	stdout, _ := mustRun(t, m, "", append([]string{"create", "--owner", "shop"}, args...)...)
	return strings.TrimSpace(stdout), idOf(t, stdout)
}

func idOf(t *testing.T, key string) string {
	t.Helper()
	parts, err := apikey.Parse(strings.TrimSpace(key))
	if err != nil {
		t.Fatalf("not a key: %v", err)
	}
	return parts.ID
}

// record reads a key's record from the registry.
func record(t *testing.T, m *apptest.Machine, id string) apikey.Record {
	t.Helper()
	var r apikey.Record
	withRegistry(t, m, func(g *keys.Registrar) {
		var err error
		if r, err = g.Find(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	})
	return r
}

func withRegistry(t *testing.T, m *apptest.Machine, do func(*keys.Registrar)) {
	t.Helper()
	g, err := appkeys.Open(t.Context(), m.App, true)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	do(g)
}

// wantError fails unless err is a usage error or not, as wanted, and contains a text; an
// empty text wants no error.
func wantError(t *testing.T, what string, err error, isUsage bool, text string) {
	t.Helper()
	switch {
	case text == "":
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	case err == nil || !strings.Contains(err.Error()+" "+cli.CarriedHint(err), text):
		t.Errorf("%s: %v (hint %q), want %q", what, err, cli.CarriedHint(err), text)
	case cli.IsUsage(err) != isUsage:
		t.Errorf("%s: usage error %t, want %t: %v", what, cli.IsUsage(err), isUsage, err)
	}
}

func TestCreate_PrintsTheKeyOnce(t *testing.T) {
	m := apptest.New(t, "")
	stdout, stderr := mustRun(t, m, "", "create", "--owner", "shop", "--scope", "orders:read", "--expires", "90d", "--rate", "5/s", "--meta", "team=a")
	id := idOf(t, stdout)
	if strings.Contains(stderr, strings.TrimSpace(stdout)) || !strings.Contains(stderr, id) {
		t.Errorf("stderr: %s", stderr)
	}
	if !strings.Contains(stderr, "FOB_REGISTRY") {
		t.Errorf("the first key does not mention a shared registry: %s", stderr)
	}
	r := record(t, m, id)
	if r.Environment != "test" || r.Rate != "5/s" || r.Metadata["team"] != "a" || !r.ExpiresAt.Equal(m.Time.Add(90*24*time.Hour)) {
		t.Errorf("%+v", r)
	}
	if _, stderr := mustRun(t, m, "", "create", "--owner", "shop"); strings.Contains(stderr, "FOB_REGISTRY") {
		t.Error("the second key mentions a shared registry")
	}
}

func TestCreate_Many(t *testing.T) {
	m := apptest.New(t, "")
	stdout, _ := mustRun(t, m, "", "create", "--owner", "shop", "--count", "501", "--json")
	seen := map[string]bool{}
	for line := range strings.Lines(stdout) {
		var out struct{ ID, Key, Owner string }
		if err := json.Unmarshal([]byte(line), &out); err != nil || idOf(t, out.Key) != out.ID || out.Owner != "shop" {
			t.Fatalf("%s: %v", line, err)
		}
		seen[out.ID] = true
	}
	if len(seen) != 501 {
		t.Errorf("%d keys", len(seen))
	}
}

func TestCreate_Refusals(t *testing.T) {
	m := apptest.New(t, "[commands]\nbroken = [\"false\"]\n")
	for _, test := range []struct{ args, text string }{
		{"", "owner"},
		{"--owner shop --count 0", "--count"},
		{"--owner shop --count 1000001", "--count"},
		{"--owner shop --env prod", "environment"},
		{"--owner shop --env lvie", "live"},
		{"--owner shop --expires 1y", "1y"},
		{"--owner shop --expires 2026-01-01", "2026-01-01"},
		{"--owner shop --rate often", "rate"},
		{"--owner shop --meta x", "metadata"},
		{"--owner shop --scope a!b", "scope"},
		{"--owner shop --quiet", "--quiet"},
		{"--owner shop --count 2 --to exec:broken", "--count"},
		{"--owner shop --to exec:absent", "exec"},
		{"--owner shop --to nowhere", "destination"},
	} {
		_, _, err := run(m, "", append([]string{"create"}, strings.Fields(test.args)...)...)
		wantError(t, test.args, err, true, test.text)
	}
	if _, _, err := run(m, "", "list"); !errors.Is(err, apikey.ErrNoRegistry) {
		t.Errorf("a refused command created the registry: %v", err)
	}
}

func TestCreate_DryRunCreatesNothing(t *testing.T) {
	m := apptest.New(t, "")
	stdout, stderr := mustRun(t, m, "", "create", "--owner", "shop", "--dry-run", "--to", m.Dotenv("KEY"))
	if stdout != "" || !strings.Contains(stderr, m.Dotenv("KEY")) || m.Env() != "" {
		t.Errorf("%q %q %q", stdout, stderr, m.Env())
	}
	if _, _, err := run(m, "", "list"); !errors.Is(err, apikey.ErrNoRegistry) {
		t.Error(err)
	}
}

func TestCreate_Delivers(t *testing.T) {
	m := apptest.New(t, "")
	stdout, _ := mustRun(t, m, "", "create", "--owner", "shop", "--to", m.Dotenv("KEY"))
	if !strings.Contains(m.Env(), strings.TrimSpace(stdout)) {
		t.Error("the key was not delivered")
	}
	_, _, err := run(m, "", "create", "--owner", "other", "--to", m.Dotenv("KEY"))
	wantError(t, "conflict", err, true, "--force")
	if stdout, _ := mustRun(t, m, "", "create", "--owner", "other", "--to", m.Dotenv("KEY"), "--force", "--quiet"); stdout != "" {
		t.Error("--quiet prints the key")
	}
}

// A key that reached nobody is revoked; one that was printed, or may have arrived, is not.
func TestCreate_FailedDelivery(t *testing.T) {
	m := apptest.New(t, "[commands]\nbroken = [\"false\"]\n")
	_, _, err := run(m, "", "create", "--owner", "shop", "--quiet", "--to", "exec:broken")
	var failures cli.Failures
	if !errors.As(err, &failures) || !errors.Is(failures[len(failures)-1], cli.ErrUnfinished) {
		t.Fatalf("%v", err)
	}
	stdout, _, err := run(m, "", "create", "--owner", "shop", "--to", "exec:broken")
	if err == nil {
		t.Error("a failed delivery is no failure")
	}
	if r := record(t, m, idOf(t, stdout)); r.State(m.Time) != apikey.Active {
		t.Errorf("the printed key is %s", r.State(m.Time))
	}
	listed, _ := mustRun(t, m, "", "list", "--state", "revoked", "--json")
	if strings.Count(listed, `"id"`) != 1 {
		t.Errorf("the key that reached nobody is not revoked: %s", listed)
	}
}

type brokenPipe struct{ lines int }

func (w *brokenPipe) Write(p []byte) (int, error) {
	if w.lines--; w.lines < 0 {
		return 0, errors.New("broken pipe")
	}
	return len(p), nil
}

// Keys that could not be printed are revoked, and those before them are valid.
func TestCreate_UnprintedKeysAreRevoked(t *testing.T) {
	m := apptest.New(t, "")
	printed := m.App.Out
	m.App.Out = cli.NewStream(&brokenPipe{lines: 2})
	_, _, err := run(m, "", "create", "--owner", "shop", "--count", "5")
	m.App.Out = printed
	if !errors.Is(err, cli.ErrUnfinished) || !strings.Contains(err.Error(), "3 keys") {
		t.Fatal(err)
	}
	for state, want := range map[string]int{"active": 2, "revoked": 3} {
		if listed, _ := mustRun(t, m, "", "list", "--state", state, "--json"); strings.Count(listed, `"id"`) != want {
			t.Errorf("%s: %s", state, listed)
		}
	}
}

func TestPush(t *testing.T) {
	m := apptest.New(t, "")
	text, id := create(t, m)
	other, otherID := create(t, m, "--to", m.Dotenv("OTHER"))
	for _, test := range []struct {
		name, stdin string
		args        []string
		isUsage     bool
		text        string
	}{
		{"no destination", text, []string{"push", id}, true, "destination"},
		{"another key", other, []string{"push", id, "--to", m.Dotenv("KEY")}, false, otherID},
		{"not a key", "secret", []string{"push", id, "--to", m.Dotenv("KEY")}, false, "key"},
		{"a conflict", text, []string{"push", id, "--to", m.Dotenv("OTHER")}, true, "--force"},
		{"unknown", text, []string{"push", "1OOivdDZfQCU"}, false, "1OOivdDZfQCU"},
		{"dry run", "", []string{"push", id, "--to", m.Dotenv("KEY"), "--dry-run"}, false, ""},
	} {
		_, _, err := run(m, test.stdin, test.args...)
		wantError(t, test.name, err, test.isUsage, test.text)
		if strings.Contains(m.Env(), "KEY="+text) || len(record(t, m, id).Destinations) > 0 {
			t.Fatalf("%s: delivered", test.name)
		}
	}
	mustRun(t, m, text, "push", id, "--to", m.Dotenv("KEY"))
	if r := record(t, m, id); !strings.Contains(m.Env(), text) || len(r.Destinations) != 1 {
		t.Errorf("%q %v", m.Env(), r.Destinations)
	}
	mustRun(t, m, "", "update", id, "--disabled")
	mustRun(t, m, text, "push", id) // it works again once it is enabled
	mustRun(t, m, "", "revoke", id)
	if _, _, err := run(m, text, "push", id); !errors.As(err, new(*apikey.RefusedError)) {
		t.Errorf("a revoked key is delivered: %v", err)
	}
}

func TestUpdate(t *testing.T) {
	m := apptest.New(t, "")
	_, id := create(t, m, "--scope", "a:read", "--rate", "1/s", "--note", "rack 1", "--meta", "team=a", "--meta", "floor=2", "--expires", "30d")
	for _, test := range []struct {
		args []string
		text string
	}{
		{nil, "nothing"},
		{[]string{"--owner", " "}, "owner"},
		{[]string{"--expires", "soon"}, "soon"},
		{[]string{"--scope", "a!"}, "scope"},
		{[]string{"--to", "nowhere"}, "destination"},
		{[]string{"--rate", ""}, "--rate is empty"},
		{[]string{"--scope", ""}, "--scope is empty"},
		{[]string{"--to", ""}, "--to is empty"},
		{[]string{"--clear", ""}, "unknown flag \"\""},
		{[]string{"--clear", "rate", "--rate", "1/s"}, "--rate and --clear rate cannot be combined"},
	} {
		_, _, err := run(m, "", append([]string{"update", id}, test.args...)...)
		wantError(t, strings.Join(test.args, " "), err, true, test.text)
	}
	before := record(t, m, id)
	stdout, _ := mustRun(t, m, "", "update", id, "--clear", "scope", "--clear", "rate", "--meta", "team=", "--expires", "never", "--disabled", "--to", m.Dotenv("KEY"), "--json")
	r := record(t, m, id)
	if len(r.Scopes) > 0 || r.Rate != "" || len(r.Metadata) != 1 || !r.ExpiresAt.IsZero() || !r.Disabled || len(r.Destinations) != 1 || r.Note != before.Note || r.Owner != before.Owner {
		t.Errorf("%+v", r)
	}
	if m.Env() != "" {
		t.Error("update delivers a key that it does not have")
	}
	var out appkeys.JSON
	if err := json.Unmarshal([]byte(stdout), &out); err != nil || out.State != apikey.Disabled {
		t.Errorf("%s: %v", stdout, err)
	}
	mustRun(t, m, "", "update", id, "--disabled=false", "--clear", "to")
	if r := record(t, m, id); r.Disabled || len(r.Destinations) > 0 {
		t.Errorf("%+v", r)
	}
	mustRun(t, m, "", "revoke", id)
	if _, _, err := run(m, "", "update", id, "--note", "x"); !errors.Is(err, keys.ErrRevoked) {
		t.Error(err)
	}
}
