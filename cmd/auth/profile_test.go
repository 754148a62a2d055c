package auth

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
)

// What config.toml can hold, `fob profile show` shows. An endpoint shows as the server.
func TestProfileShowsEverySetting(t *testing.T) {
	p := config.Profile{Name: "work"}
	fields := reflect.ValueOf(&p).Elem()
	for i := range fields.NumField() {
		switch field := fields.Field(i).Addr().Interface().(type) {
		case *string:
			*field = "x"
		case *[]string:
			*field = []string{"x"}
		case *bool:
			*field = true
		}
	}
	names, shown := shownSettings(&config.Config{}, p)
	for _, field := range reflect.VisibleFields(fields.Type()) {
		name := field.Tag.Get("toml")
		if name == "-" || name == "issuer" || name == "redirect_uri" || strings.HasSuffix(name, "_endpoint") { // a grant has no redirect
			continue
		}
		if row := settingRow(name, shown[name]); !slices.Contains(names, name) || row[1] == "" {
			t.Errorf("%s is not shown: %q", name, row)
		}
	}
}

func TestProfile_SetThenShow(t *testing.T) {
	a := cmdtest.New(t, "# a comment\n"+threeProfiles)
	for _, step := range []struct {
		args []string
		note string
	}{
		{[]string{"work", "--scope", "openid email", "--ca-file", ""}, "work: set scopes.\n"},
		{[]string{"work", "--scope", "openid email"}, "work: nothing to change.\n"},
		{[]string{"work", "--scope", ""}, "work: removed scopes.\n"},
		{[]string{"old", "--default"}, ""},
		{[]string{"work", "--client-id", "other"}, "fob login work"},
	} {
		_, stderr, err := a.Run(NewProfile, append([]string{"set"}, step.args...)...)
		if err != nil || !strings.Contains(stderr, step.note) {
			t.Errorf("%v: %v, %q", step.args, err, stderr)
		}
	}
	text, err := os.ReadFile(filepath.Join(a.Home, "config.toml"))
	if err != nil || !strings.HasPrefix(string(text), "# a comment\n") || !strings.Contains(string(text), `default = "old"`) || !strings.Contains(string(text), `client_id = "other"`) {
		t.Errorf("%v\n%s", err, text)
	}
	stdout, _, err := a.Run(NewProfile, "show", "ci")
	if err != nil || !strings.Contains(stdout, "scopes     deploy\n") || !strings.Contains(stdout, "identity   gitlab\n") || strings.Contains(stdout, "redirect") {
		t.Errorf("%v\n%s", err, stdout)
	}
	if stdout, _, err = a.Run(NewProfile, "show", "--json"); err != nil || !strings.Contains(stdout, `"name": "old"`) || !strings.Contains(stdout, `"default": true`) {
		t.Errorf("%v\n%s", err, stdout)
	}
	if stdout, _, err = a.Run(NewProfile, "list", "--json"); err != nil || strings.Count(stdout, `"name":`) != 3 {
		t.Errorf("%v\n%s", err, stdout)
	}
}

func TestProfile_Refusals(t *testing.T) {
	for call, want := range map[string]struct{ err, hint string }{
		"set":                                    {"takes the name of one profile", "fob profile set --help"},
		"set worc --default":                     {`no profile "worc"`, ""},
		"set work --grant magic":                 {`there is no grant "magic"`, ""},
		"set work --certificate-file a":          {"a client certificate requires its key", ""},
		"set work --ca-file /nosuch":             {"/nosuch", "files in PEM"},
		"remove":                                 {"takes the name of one profile", ""},
		"remove x":                               {`no profile "x"`, ""},
		"show work ci":                           {"takes one profile at most", ""},
		"list x":                                 {"takes no argument", ""},
		"set work --client-id x --default --yes": {"unknown flag: --yes", ""},
	} {
		a := cmdtest.New(t, threeProfiles)
		_, _, err := a.Run(NewProfile, strings.Fields(call)...)
		checkUsage(t, call, err, want.err, want.hint)
		if text, _ := os.ReadFile(filepath.Join(a.Home, "config.toml")); string(text) != threeProfiles {
			t.Errorf("%s changed the configuration", call)
		}
	}
}

// A profile does not leave the storage in which its login is.
func TestProfile_StorageOfALogin(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.login()
	_, _, err := f.run(NewProfile, "set", "work", "--storage", "keyring")
	checkUsage(t, "keyring", err, `the login of profile "work"`, "fob storage migrate --to keyring work")
	f.must(NewProfile, "set", "work", "--storage", "file")
	if _, _, err := f.run(NewProfile, "remove", "work"); err == nil || !strings.Contains(cli.CarriedHint(err), "fob logout work") {
		t.Error(err)
	}
	f.must(NewLogout, "work")
	f.must(NewProfile, "set", "work", "--storage", "keyring")
	f.must(NewProfile, "set", "work", "--storage", "file")
	f.must(NewProfile, "remove", "work")
}

func TestProfile_Providers(t *testing.T) {
	stdout, _, err := cmdtest.New(t, "").Run(NewProfile, "providers")
	if err != nil || strings.Count(stdout, "\n") != len(config.Providers())+1 || !strings.Contains(stdout, "browser, device") {
		t.Errorf("%v\n%s", err, stdout)
	}
	var providers []config.Provider
	if stdout, _, err = cmdtest.New(t, "").Run(NewProfile, "providers", "--json"); err != nil || json.Unmarshal([]byte(stdout), &providers) != nil || len(providers) != len(config.Providers()) {
		t.Errorf("%v\n%s", err, stdout)
	}
}
