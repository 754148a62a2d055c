package cmd

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/cmd/key"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/session"
)

// The last line is the command that helps most.
func TestOverview(t *testing.T) {
	const work = "[profile.work]\nissuer = \"https://sso.example.com\"\nclient_id = \"fob\"\n"
	const home = "[profile.home]\nissuer = \"https://home.example.com\"\nclient_id = \"fob\"\n"
	const deploy = "[secret.deploy]\n"
	for name, test := range map[string]struct {
		config  string
		environ []string
		want    []string
		next    string
	}{
		"nothing":              {"", nil, []string{"fob help choose"}, "fob login github"},
		"logged out":           {work, nil, []string{"  work *", "logged out"}, "fob login work"},
		"logged in":            {work, []string{"FOB_TOKEN_WORK=x"}, []string{"logged in"}, "fob token work"},
		"two logins":           {work + home, []string{"FOB_TOKEN_WORK=x", "FOB_TOKEN_HOME=x"}, []string{"  home", "  work"}, "fob status"},
		"one of two":           {work + home, []string{"FOB_TOKEN_WORK=x"}, []string{"logged in", "logged out"}, "fob login home"},
		"in the keyring":       {work, []string{"FOB_STORAGE=keyring"}, []string{"keyring"}, "fob status"},
		"no storage":           {work, []string{"FOB_STORAGE=none"}, []string{"  work *", "logged out"}, "fob status work"},
		"an unknown storage":   {work, []string{"FOB_STORAGE=cloud"}, nil, "fob doctor"},
		"a secret":             {deploy, nil, []string{"Secrets   1\n"}, "fob secret list"},
		"a secret that ends":   {deploy + "expires = 2026-03-02T12:00:00Z\n", nil, []string{"Secrets   1, deploy "}, "fob secret rotate deploy"},
		"a login, then secret": {work + deploy + "expires = 2026-03-02T12:00:00Z\n", nil, []string{"Secrets   1, deploy "}, "fob login work"},
	} {
		a := cmdtest.New(t, test.config, test.environ...)
		stdout, _, err := runOverviewOf(a)
		if err != nil || !strings.HasSuffix(stdout, "next: "+test.next+"\n") {
			t.Errorf("%s: %v\n%s", name, err, stdout)
		}
		for _, want := range test.want {
			if !strings.Contains(stdout, want) {
				t.Errorf("%s: %q is not in\n%s", name, want, stdout)
			}
		}
	}
}

func runOverviewOf(a *cmdtest.App) (stdout, stderr string, err error) {
	return a.Run(func(a *app.App) *cobra.Command {
		return &cobra.Command{Use: "overview", RunE: func(c *cobra.Command, _ []string) error { return runOverview(c.Context(), a) }}
	})
}

func TestOverview_Keys(t *testing.T) {
	a := cmdtest.New(t, "")
	for range 2 {
		if _, _, err := a.Run(key.New, "create", "--owner", "shop"); err != nil {
			t.Fatal(err)
		}
	}
	stdout, _, err := runOverviewOf(a)
	if err != nil || stdout != "API keys  2, 2 active\n\nnext: fob key list\n" {
		t.Errorf("%v\n%s", err, stdout)
	}
	g, err := appkeys.Open(t.Context(), a.App, false)
	if err != nil {
		t.Fatal(err)
	}
	records, err := keys.Collect(g.Registry.Keys(t.Context(), apikey.Filter{}))
	if err != nil {
		t.Fatal(err)
	}
	many := make([]string, keys.BatchSize)
	for _, r := range records {
		many = append(many, r.ID)
	}
	if _, err = g.Revoke(t.Context(), many, ""); err != nil {
		t.Fatal(err)
	}
	g.Close()
	if stdout, _, err = runOverviewOf(a); err != nil || stdout != "API keys  2, 0 active, 2 revocations unfinished\n\nnext: fob key revoke --resume\n" {
		t.Errorf("%v\n%s", err, stdout)
	}
	// Keys that are not counted in time hide nothing unfinished.
	if text, resume := overviewKeys(t.Context(), a.App, 0); text != "not counted within 0 s, 2 revocations unfinished" || resume != "fob key revoke --resume" {
		t.Errorf("%q, %q", text, resume)
	}
	a.Environ["FOB_REGISTRY"] = "postgres://db.example.com/fob"
	if stdout, _, err = runOverviewOf(a); err != nil || !strings.HasPrefix(stdout, "API keys  in a shared registry\n") {
		t.Errorf("%v\n%s", err, stdout)
	}
}

func TestOverview_UnreadableRegistry(t *testing.T) {
	a := cmdtest.New(t, "", "FOB_REGISTRY=sqlite:/dev/null")
	if stdout, _, err := runOverviewOf(a); err != nil || stdout != "API keys  unavailable: the registry cannot be opened\n\nnext: fob doctor\n" {
		t.Errorf("%v\n%s", err, stdout)
	}
}

func TestOverview_UnknownDefault(t *testing.T) {
	_, stderr, err := runOverviewOf(cmdtest.New(t, "default = \"worc\"\n[profile.work]\nissuer = \"https://sso.example.com\"\nclient_id = \"fob\"\n"))
	if err != nil || !strings.HasPrefix(stderr, `error: there is no profile "worc"`) {
		t.Errorf("%v, %q", err, stderr)
	}
}

func TestOverview_BrokenConfiguration(t *testing.T) {
	stdout, stderr, err := runOverviewOf(cmdtest.New(t, "[profile"))
	if err != nil || stdout != "next: fob doctor\n" || !strings.HasPrefix(stderr, "error: ") {
		t.Errorf("%v, %q, %q", err, stdout, stderr)
	}
}

func TestStateText(t *testing.T) {
	now := cmdtest.Now()
	seen := map[string]string{}
	for name, s := range map[string]app.LoginStatus{
		"not read": {Storage: "keyring"}, "expired": {State: session.StateExpired}, "logged out": {State: session.StateLoggedOut},
		"valid": {State: session.StateValid}, "with its end": {State: session.StateValid, ExpiresAt: now.Add(time.Hour)},
		"with the login's": {State: session.StateRefreshable, ExpiresAt: now.Add(time.Hour), LoginExpiresAt: now.Add(48 * time.Hour)},
	} {
		text := s.Summary(now)
		if other := seen[text]; text == "" || other != "" {
			t.Errorf("%s and %s: %q", name, other, text)
		}
		seen[text] = name
	}
	if a, b := (app.LoginStatus{State: session.StateExpired}).Summary(now), (app.LoginStatus{State: session.StateEnded}).Summary(now); a != b {
		t.Errorf("%q, %q: the next step is the same", a, b)
	}
}
