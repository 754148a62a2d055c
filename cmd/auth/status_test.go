package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/session"
)

const threeProfiles = `default = "work"

[profile.work]
issuer = "https://sso.example.com"
client_id = "fob"

[profile.ci]
issuer = "https://sso.example.com"
client_id = "fob-ci"
grant = "token-exchange"
identity = "gitlab"
scopes = ["deploy"]

[profile.old]
provider = "github"
client_id = "gh"
`

// pinned is a profile whose login is in a storage of its own.
func pinned(name, storage string) string {
	return fmt.Sprintf("[profile.%s]\nissuer = \"https://sso.example.com\"\nclient_id = \"fob\"\nstorage = %q\n", name, storage)
}

// Each state that is known without a request, and the error that the command ends with.
func TestStatus_States(t *testing.T) {
	for name, test := range map[string]struct {
		profile string
		environ []string
		state   session.State
		storage string
		fails   bool
	}{
		"never logged in":           {"work", nil, session.StateLoggedOut, "file", true},
		"a token in the variable":   {"work", []string{"FOB_TOKEN_WORK=x"}, session.StateValid, "env: FOB_TOKEN_WORK", false},
		"a refresh token in one":    {"work", []string{"FOB_REFRESH_TOKEN_WORK=x"}, session.StateRefreshable, "env: FOB_REFRESH_TOKEN_WORK", false},
		"a token before a refresh":  {"work", []string{"FOB_REFRESH_TOKEN_WORK=x", "FOB_TOKEN_WORK=x"}, session.StateValid, "env: FOB_TOKEN_WORK", false},
		"a token of another":        {"work", []string{"FOB_TOKEN_OLD=x", "FOB_TOKEN=x"}, session.StateLoggedOut, "file", true},
		"no storage":                {"work", []string{"FOB_STORAGE=none"}, session.StateLoggedOut, "none", true},
		"no storage, for a pin":     {"pinned", []string{"FOB_STORAGE=none"}, session.StateLoggedOut, "none", true},
		"an unknown storage":        {"lost", nil, session.StateUnreadable, "cloud", true},
		"an identity, no storage":   {"ci", []string{"FOB_STORAGE=none"}, session.StateRefreshable, "nothing: the machine's identity", false},
		"an identity":               {"ci", nil, session.StateRefreshable, "nothing: the machine's identity", false},
		"an identity, but a token":  {"ci", []string{"FOB_TOKEN_CI=x"}, session.StateValid, "env: FOB_TOKEN_CI", false},
		"a preset's server is show": {"old", nil, session.StateLoggedOut, "file", true},
	} {
		a := cmdtest.New(t, threeProfiles+pinned("pinned", "file")+pinned("lost", "cloud"), test.environ...)
		stdout, _, err := a.Run(NewStatus, test.profile, "--json")
		var s app.LoginStatus
		if err := json.Unmarshal([]byte(stdout), &s); err != nil {
			t.Fatalf("%s: %v: %s", name, err, stdout)
		}
		if s.State != test.state || s.Storage != test.storage || (err != nil) != test.fails || s.Server == "" || s.Selected != (test.profile == "work") {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		if test.fails && test.state == session.StateLoggedOut && !errors.Is(err, session.ErrLoginRequired) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStatus_List(t *testing.T) {
	a := cmdtest.New(t, threeProfiles+"\n[secret.deploy]\nexpires = 2026-03-02T12:00:00Z\n[secret.gone]\nexpires = 2026-02-01T12:00:00Z\n", "FOB_TOKEN_OLD=x", "FOB_TOKEN=y")
	stdout, stderr, err := a.Run(NewStatus)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(stdout, "\n")
	if len(lines) != 5 || !strings.HasPrefix(lines[1], "ci ") || !strings.HasPrefix(lines[2], "old ") || !strings.HasPrefix(lines[3], "work") || !strings.Contains(lines[3], "*") {
		t.Errorf("%s", stdout)
	}
	for _, want := range []string{`"deploy"`, `"gone"`, "FOB_TOKEN", "work "} {
		if !strings.Contains(stderr, want) {
			t.Errorf("%q is not in %s", want, stderr)
		}
	}
	if stdout, _, err := a.Run(NewStatus, "--json"); err != nil || strings.Count(stdout, `"profile":`) != 3 || strings.Count(stdout, `"selected": true`) != 1 {
		t.Errorf("%v, %s", err, stdout)
	}
	empty := cmdtest.New(t, "")
	if stdout, stderr, err := empty.Run(NewStatus); err != nil || stdout != "" || !strings.Contains(stderr, "fob login github") {
		t.Errorf("%v, %q, %q", err, stdout, stderr)
	}
	if stdout, _, err := empty.Run(NewStatus, "--json"); err != nil || stdout != "[]\n" {
		t.Errorf("%v, %q", err, stdout)
	}
}

// A list of logins that cannot be read is a failure, unlike one of ended logins.
func TestStatus_NoneCanBeRead(t *testing.T) {
	const profile = "[profile.b]\nissuer = \"https://b.example.com\"\nstorage = %q\n"
	for storage, readable := range map[string]bool{"file": true, "cloud": false} {
		for _, args := range [][]string{nil, {"--json"}} {
			stdout, _, err := cmdtest.New(t, fmt.Sprintf(profile, storage)).Run(NewStatus, args...)
			if (err == nil) != readable || !strings.Contains(stdout, "b") {
				t.Errorf("%s %q: %v\n%s", storage, args, err, stdout)
			}
		}
	}
}

func TestUnnamedProfile(t *testing.T) {
	two := "[profile.a]\nissuer = \"https://a.example.com\"\n[profile.b]\nissuer = \"https://b.example.com\"\n"
	for name, test := range map[string]struct {
		config  string
		environ string
		want    config.Choice
		warns   bool
	}{
		"the default":         {"default = \"b\"\n" + two, "X=", config.Choice{Name: "b", By: config.ByDefault}, false},
		"the variable":        {"default = \"b\"\n" + two, "FOB_PROFILE=a", config.Choice{Name: "a", By: config.ByVariable}, false},
		"ambiguous":           {two, "X=", config.Choice{}, false},
		"the only one":        {"[profile.a]\nissuer = \"https://a.example.com\"\n", "X=", config.Choice{Name: "a", By: config.BySole}, false},
		"one that is not one": {two, "FOB_PROFILE=c", config.Choice{}, true},
	} {
		a := cmdtest.New(t, test.config, test.environ)
		cfg, err := a.Config()
		if err != nil {
			t.Fatal(err)
		}
		if got := unnamedProfile(a.App, cfg); got != test.want {
			t.Errorf("%s: %+v", name, got)
		}
		if stderr := a.Stderr(); (stderr != "") != test.warns {
			t.Errorf("%s: %q", name, stderr)
		}
	}
}

func TestStatus_Check(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.login()
	if _, notes := f.must(NewStatus, "work", "--check"); !strings.Contains(notes, "work: the server issued a fresh token.") {
		t.Error(notes)
	}
	if err := f.issuer.InjectFault("invalid-grant", 9); err != nil {
		t.Fatal(err)
	}
	stdout, _, err := f.run(NewStatus, "work", "--check")
	if !errors.Is(err, session.ErrLoginRequired) || !strings.Contains(stdout, string(session.StateEnded)) {
		t.Errorf("%v, %s", err, stdout)
	}
	f.issuer.Close()
	f.Environ["FOB_TOKEN_WORK"] = "x"
	if _, notes := f.must(NewStatus, "work", "--check"); !strings.Contains(notes, "FOB_TOKEN_WORK") {
		t.Error(notes)
	}
}

// A login without a refresh token is tried at the server, and ends with its token.
func TestStatus_CheckWithoutRefreshToken(t *testing.T) {
	f := newFixture(t, authservertest.Options{NoRefreshToken: true, TokenLifetime: time.Hour})
	if notes := f.login(); !strings.Contains(notes, "this login ends at ") && !strings.Contains(notes, "no refresh token") {
		t.Error(notes)
	}
	if _, notes := f.must(NewStatus, "work", "--check"); !strings.Contains(notes, "work: the server accepts the token.") {
		t.Error(notes)
	}
	if _, notes := f.must(NewRefresh, "--all"); strings.Contains(notes, "refreshed, ") || !strings.Contains(notes, "work: ") {
		t.Error(notes)
	}
	if _, _, err := f.run(NewRefresh, "work"); !errors.Is(err, session.ErrLoginRequired) {
		t.Error(err)
	}
}

func TestSelectProfiles(t *testing.T) {
	a := cmdtest.New(t, threeProfiles)
	for name, test := range map[string]struct {
		names []string
		all   bool
		want  string
		err   string
	}{
		"the default":    {nil, false, "work", ""},
		"one":            {[]string{"old"}, false, "old", ""},
		"two":            {[]string{"old", "ci"}, false, "old ci", ""},
		"one twice":      {[]string{"old", "old"}, false, "old", ""},
		"all":            {nil, true, "ci old work", ""},
		"all and one":    {[]string{"old"}, true, "", "cannot be combined"},
		"one is not one": {[]string{"old", "x"}, false, "", `no profile "x"`},
	} {
		profiles, err := selectProfiles(a.App, test.names, test.all)
		checkUsage(t, name, err, test.err, "")
		var names []string
		for _, p := range profiles {
			names = append(names, p.Name)
		}
		if got := strings.Join(names, " "); err == nil && got != test.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A misspelt FOB_STORAGE is refused, not ignored: also by commands that would not use it.
func TestMisspeltStorage(t *testing.T) {
	for call, newCmd := range map[string]func(*app.App) *cobra.Command{
		"": NewStatus, "work": NewToken, "pinned": NewStatus, "--all": NewLogout, "github --client-id x": NewLogin, "list": NewProfile,
	} {
		a := cmdtest.New(t, threeProfiles+pinned("pinned", "file"), "FOB_STORAGE=flie")
		_, _, err := a.Run(newCmd, strings.Fields(call)...)
		checkUsage(t, call, err, `FOB_STORAGE: there is no storage "flie"`, "")
	}
}
