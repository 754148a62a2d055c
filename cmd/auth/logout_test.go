package auth

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/session"
)

func TestLogoutPlan(t *testing.T) {
	for _, test := range []struct {
		revokes bool
		opts    logoutOptions
		want    []string
		not     []string
	}{
		{true, logoutOptions{}, []string{"revoke the refresh token and the access token", "delete the login"}, []string{"client", "settings"}},
		{false, logoutOptions{Local: true}, []string{"delete the login here", "revoke nothing"}, []string{"client", "settings"}},
		{true, logoutOptions{Unregister: true}, []string{"revoke the refresh", "remove the client"}, []string{"settings"}},
		{true, logoutOptions{Purge: true}, []string{"revoke the refresh", "remove the client", "settings"}, nil},
		{false, logoutOptions{Purge: true}, []string{"revoke nothing", "settings"}, []string{"client"}},
	} {
		plan := logoutPlan(test.revokes, test.opts)
		for _, want := range test.want {
			if !strings.Contains(plan, want) {
				t.Errorf("%+v: %q is not in %q", test.opts, want, plan)
			}
		}
		for _, not := range test.not {
			if strings.Contains(plan, not) {
				t.Errorf("%+v: %q is in %q", test.opts, not, plan)
			}
		}
	}
}

func TestReportSteps(t *testing.T) {
	unsupported := &oauth.Error{Code: "unsupported_token_type"}
	for name, test := range map[string]struct {
		step     session.Step
		provider config.Provider
		note     string
		fails    bool
	}{
		"revoked":           {session.Step{Token: session.StepRefreshToken}, config.Provider{}, "work: refresh token revoked.\n", false},
		"removed":           {session.Step{Token: session.StepRegistration}, config.Provider{}, "work: client registration removed.\n", false},
		"no revocation":     {session.Step{Token: session.StepAccessToken, Err: oauth.ErrUnsupported}, config.Provider{RevokeAt: "https://x.example.com"}, "the server offers no revocation. Revoke it at https://x.example.com\n", false},
		"no removal":        {session.Step{Token: session.StepRegistration, Err: oauth.ErrUnsupported}, config.Provider{}, "client registration not removed: the server does not support it.\n", false},
		"no such token":     {session.Step{Token: session.StepAccessToken, Err: unsupported}, config.Provider{}, "revokes no tokens of this kind", false},
		"failed":            {session.Step{Token: session.StepRefreshToken, Err: oauth.ErrUnavailable}, config.Provider{}, "work: refresh token not revoked.\n", true},
		"failed to remove":  {session.Step{Token: session.StepRegistration, Err: oauth.ErrUnavailable}, config.Provider{}, "work: client registration not removed.\n", true},
		"refused to remove": {session.Step{Token: session.StepRegistration, Err: unsupported}, config.Provider{}, "work: client registration not removed.\n", true},
	} {
		a := cmdtest.New(t, "")
		err := reportSteps(a.App, config.Profile{Name: "work"}, test.provider, []session.Step{test.step})
		if stderr := a.Stderr(); (err != nil) != test.fails || !strings.Contains(stderr, test.note) {
			t.Errorf("%s: %v, %s", name, err, stderr)
		}
		if errors.Is(err, oauth.ErrUnavailable) { // the status is 1, not 5: the login is gone here
			t.Errorf("%s: %v has its cause", name, err)
		}
	}
}

// A logout deletes the login here, whatever the server says.
func TestLogout_ServerFails(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.login()
	f.issuer.Close()
	_, notes, err := f.run(NewLogout, "work")
	if err == nil || !strings.Contains(err.Error(), "was not revoked") || !strings.Contains(notes, "work: deleted here.") || f.status("work").State != session.StateLoggedOut {
		t.Errorf("%v, %s", err, notes)
	}
}

func TestLogout_Local(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.login()
	token, _ := f.must(NewToken, "work")
	if _, notes := f.must(NewLogout, "work", "--local"); !strings.Contains(notes, "deleted here, not revoked") {
		t.Error(notes)
	}
	if !f.issuer.Introspect(strings.TrimSpace(token)) || f.issuer.Count("revocation") != 0 {
		t.Error("the token was revoked")
	}
	for _, flag := range []string{"--unregister", "--end-session"} {
		_, _, err := f.run(NewLogout, "work", "--local", flag)
		checkUsage(t, flag, err, "cannot be combined", "fob logout --help")
	}
	_, _, err := f.run(NewLogout, "work", "--all")
	checkUsage(t, "--all", err, "cannot be combined", "")
}

// One profile's settings go with --purge; the others stay.
func TestLogout_PurgeOne(t *testing.T) {
	a := cmdtest.New(t, threeProfiles)
	_, _, err := a.Run(NewLogout, "old", "--purge", "--local")
	checkUsage(t, "without a terminal", err, "--purge deletes the settings of old", "--yes")
	if _, stderr, err := a.Run(NewLogout, "old", "--purge", "--local", "--yes"); err != nil {
		t.Errorf("%v, %s", err, stderr)
	}
	if stdout, _, err := a.Run(NewProfile, "list"); err != nil || strings.Contains(stdout, "old") || !strings.Contains(stdout, "work") {
		t.Errorf("%v, %s", err, stdout)
	}
}

func TestLogout_GrantMates(t *testing.T) {
	google := func(name, client string) string {
		return fmt.Sprintf("[profile.%s]\nprovider = \"google\"\nclient_id = %q\n", name, client)
	}
	a := cmdtest.New(t, google("a", "x")+google("b", "x")+google("c", "y"))
	_, stderr, err := a.Run(NewLogout, "a", "--dry-run")
	if err != nil || !strings.Contains(stderr, `profile "b"`) || strings.Contains(stderr, `"c"`) {
		t.Errorf("%v, %s", err, stderr)
	}
	if _, stderr, err := a.Run(NewLogout, "a", "--dry-run", "--local"); err != nil || strings.Contains(stderr, `profile "b"`) {
		t.Errorf("%v, %s", err, stderr)
	}
}

func TestWithoutClientID(t *testing.T) {
	for page, want := range map[string]string{
		"https://sso.example.com/end?client_id=x&a=b": "https://sso.example.com/end?a=b",
		"https://sso.example.com/end":                 "https://sso.example.com/end",
		"":                                            "",
		"%":                                           "%",
	} {
		if got := withoutClientID(page); got != want {
			t.Errorf("%q: %q", page, got)
		}
	}
}
