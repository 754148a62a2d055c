package key

import (
	"errors"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keylist"
	"github.com/fobcli/fob/internal/app/apptest"
)

// A variable that is not set must not widen what a key may do, or what is checked of it.
func TestEmptyValuesAreRefused(t *testing.T) {
	m := apptest.New(t, "")
	for _, command := range []string{"create --owner x --rate", "create --owner x --scope", "create --owner x --env", "verify --scope", "import --scope"} {
		args := strings.Fields(command)
		_, _, err := run(m, "", append(args, "")...)
		wantError(t, command, err, true, args[len(args)-1]+" is empty")
	}
}

func TestImport(t *testing.T) {
	digest := apikey.DigestOf("sk_live_of_another_system_1").String()
	for _, test := range []struct {
		name, list string
		args       []string
		added      int
		line       int    // of the error
		text       string // of the error
	}{
		{"JSON lines", `{"key":"sk_live_of_another_system_1","owner":"a","environment":"live"}` + "\n" + `{"key":"sk_live_of_another_system_2","owner":"b","environment":"live","scopes":["x:y"],"disabled":true}`, nil, 2, 0, ""},
		{"CSV", "key,owner,environment,scopes,expires_at\nsk_live_of_another_system_1,a,live,x:y x:z,2027-01-31\n", nil, 1, 0, ""},
		{"flags complete a line", "key\nsk_live_of_another_system_1\n", []string{"--owner", "a", "--env", "live", "--scope", "x:y"}, 1, 0, ""},
		{"a line overrides the flags", "key,owner\nsk_live_of_another_system_1,own\n", []string{"--owner", "a", "--env", "live"}, 1, 0, ""},
		{"a hash", `{"hash":"` + digest + `","owner":"a","environment":"live"}`, nil, 1, 0, ""},
		{"the same twice", "key\nsk_live_of_another_system_1\nsk_live_of_another_system_1\n", []string{"--owner", "a", "--env", "live"}, 1, 0, ""},
		{"empty", "", nil, 0, 0, ""},
		{"no owner", "key\nsk_live_of_another_system_1\n", []string{"--env", "live"}, 0, 2, "owner"},
		{"the second line", "key,owner\nsk_live_of_another_system_1,a\n,b\n", []string{"--env", "live"}, 1, 3, "1 key before"},
		{"a pepper's name", `{"hash":"` + digest + `","owner":"a","environment":"live","pepper":"../x"}`, nil, 0, 1, "pepper"},
		{"an array", `[{"key":"x"}]`, nil, 0, 1, "array"},
		{"an unknown column", "key,color\nx,red\n", nil, 0, 1, "column 2"},
		{"an unknown field", `{"colour":"red"}`, nil, 0, 1, "colour"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := apptest.New(t, "")
			// A dry run reports the same errors, and adds nothing.
			_, _, dryErr := run(m, test.list, append([]string{"import", "--dry-run"}, test.args...)...)
			if _, _, err := run(m, "", "list"); !errors.Is(err, apikey.ErrNoRegistry) {
				t.Errorf("a dry run created the registry: %v", err)
			}
			_, _, err := run(m, test.list, append([]string{"import"}, test.args...)...)
			var line *keylist.LineError
			if errors.As(err, &line) != (test.line > 0) || errors.As(dryErr, new(*keylist.LineError)) != (test.line > 0) || line != nil && line.Line != test.line {
				t.Errorf("%v, dry: %v", err, dryErr)
			}
			if err != nil && (!strings.Contains(err.Error(), test.text) || strings.Contains(err.Error(), "sk_live")) {
				t.Errorf("%v", err)
			}
			stdout, _ := mustRun(t, m, "", "list", "--json")
			if got := strings.Count(stdout, `"id"`); got != test.added {
				t.Errorf("%d keys: %s", got, stdout)
			}
			if test.name == "a line overrides the flags" && !strings.Contains(stdout, `"own"`) {
				t.Errorf("%s", stdout)
			}
		})
	}
}

// An import that is run again skips the keys that are there.
func TestImport_IsRepeatable(t *testing.T) {
	m := apptest.New(t, "")
	text, id := create(t, m, "--scope", "a:read", "--note", "rack 1", "--meta", "team=a")
	list, _ := mustRun(t, m, "", "export")
	if strings.Contains(list, text) || strings.Count(list, "\n") != 1 {
		t.Fatalf("%s", list)
	}
	if _, stderr := mustRun(t, m, list, "import"); !strings.Contains(stderr, "0 keys") {
		t.Errorf("%s", stderr)
	}
	other := apptest.New(t, "")
	mustRun(t, other, list, "import")
	mustRun(t, other, text, "verify", "--scope", "a:read")
	if r := record(t, other, id); r.Note != "rack 1" || r.Metadata["team"] != "a" {
		t.Errorf("%+v", r)
	}
	if stdout, _ := mustRun(t, m, "", "export", "--owner", "nobody"); stdout != "" {
		t.Errorf("%s", stdout)
	}
	_, _, err := run(m, "", "import", "--env", "prod")
	wantError(t, "--env", err, true, "prod")
}

func TestPepper(t *testing.T) {
	m := apptest.New(t, "")
	hex := strings.Repeat("ab", 32)
	for _, test := range []struct {
		name, stdin string
		args        []string
		isUsage     bool
		text        string
	}{
		{"no name", "", []string{"add"}, true, "name"},
		{"an invalid name", "", []string{"add", "../p"}, true, "name"},
		{"too short", "abcd", []string{"add", "p1", "--stdin"}, true, "32"},
		{"not hex", strings.Repeat("!", 64), []string{"add", "p1", "--stdin"}, true, "32"},
		{"empty", "", []string{"add", "p1", "--stdin"}, true, "32"},
		{"use an absent one", "", []string{"use", "p1"}, false, "pepper add p1"},
		{"export an absent one", "", []string{"export", "p1"}, false, "p1"},
		{"remove an absent one", "", []string{"remove", "p1"}, false, "p1"},
		{"hex", hex + "\n", []string{"add", "p1", "--stdin"}, false, ""},
		{"base64", "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=", []string{"add", "p2", "--stdin"}, false, ""},
		{"again", hex, []string{"add", "p1", "--stdin"}, false, "p1"},
	} {
		_, _, err := run(m, test.stdin, append([]string{"pepper"}, test.args...)...)
		wantError(t, test.name, err, test.isUsage, test.text)
	}
	for _, name := range []string{"p1", "p2"} {
		if stdout, _ := mustRun(t, m, "", "pepper", "export", name); stdout != hex+"\n" {
			t.Errorf("%s: %q", name, stdout)
		}
	}
}

func TestPepper_InUse(t *testing.T) {
	m := apptest.New(t, "")
	bare, bareID := create(t, m)
	mustRun(t, m, "", "pepper", "add", "p1")
	_, _, err := run(m, "", "pepper", "require")
	wantError(t, "a key without a pepper", err, false, "pepper use p1")
	mustRun(t, m, "", "pepper", "use", "p1")
	text, id := create(t, m)
	if table, _ := mustRun(t, m, "", "pepper", "list"); !strings.Contains(table, "p1") || !strings.Contains(table, "new hashes") {
		t.Errorf("%s", table)
	}
	if r := record(t, m, id); r.Pepper != "p1" {
		t.Errorf("%+v", r)
	}
	_, _, err = run(m, "", "pepper", "remove", "p1")
	wantError(t, "in use", err, false, "--force")
	_, _, err = run(m, "", "pepper", "require")
	wantError(t, "a key without a pepper", err, false, "key rotate "+bareID)
	mustRun(t, m, "", "revoke", bareID)
	mustRun(t, m, "", "pepper", "require")
	if _, _, err := run(m, bare, "verify"); err == nil {
		t.Error("a key without a pepper is accepted")
	}
	mustRun(t, m, "", "pepper", "require", "--off")
	mustRun(t, m, "", "pepper", "remove", "p1", "--force")
	if _, _, err := run(m, text, "verify"); !errors.Is(err, apikey.ErrUnknownPepper) {
		t.Errorf("verified without its pepper: %v", err)
	}
	if stdout, stderr := mustRun(t, m, "", "pepper", "list"); stdout != "" || stderr == "" {
		t.Errorf("%q %q", stdout, stderr)
	}
}
