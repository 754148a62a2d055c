package auth

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/ptytest"
)

// onTerminal gives an App a terminal on which a user has typed the answers already. shown
// ends the terminal, and returns what was on it.
func onTerminal(t *testing.T, a *cmdtest.App, answers ...string) (shown func() string) {
	t.Helper()
	user, program := ptytest.Open(t)
	a.In, a.Err = program, cli.NewStream(program)
	var text strings.Builder
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(&text, user) // until the program's side is closed
	}()
	for _, answer := range answers {
		if _, err := io.WriteString(user, answer+"\r"); err != nil {
			t.Fatal(err)
		}
	}
	return func() string {
		_ = program.Close()
		<-done
		return strings.ReplaceAll(text.String(), "\r\n", "\n")
	}
}

// A logout that names no profile asks, unless there is only one.
func TestLogout_UnnamedAsks(t *testing.T) {
	const only = "[profile.work]\nissuer = \"https://sso.example.com\"\nclient_id = \"fob\"\n"
	for name, test := range map[string]struct {
		config, environ, answer string
		args                    []string
		asks, fails             bool
	}{
		"the default, and no":    {threeProfiles, "X=", "n", nil, true, true},
		"the default, and yes":   {threeProfiles, "X=", "y", nil, true, false},
		"--yes":                  {threeProfiles, "X=", "n", []string{"--yes"}, false, false},
		"--dry-run":              {threeProfiles, "X=", "n", []string{"--dry-run"}, false, false},
		"a name":                 {threeProfiles, "X=", "n", []string{"work"}, false, false},
		"all":                    {threeProfiles, "X=", "n", []string{"--all"}, false, false},
		"the variable's":         {threeProfiles, "FOB_PROFILE=work", "n", nil, false, false},
		"the only one":           {only, "X=", "n", nil, false, false},
		"--purge asks only once": {threeProfiles, "X=", "y", []string{"--purge"}, false, false},
	} {
		a := cmdtest.New(t, test.config, test.environ)
		shown := onTerminal(t, a, test.answer)
		_, _, err := a.Run(NewLogout, test.args...)
		text := shown()
		if (err != nil) != test.fails || strings.Contains(text, "This would log out of work (selected by default). Continue? [y/N] ") != test.asks || strings.Contains(text, "work: not logged in") == test.fails && !strings.Contains(text, "work: would") {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
	_, _, err := cmdtest.New(t, threeProfiles).Run(NewLogout)
	checkUsage(t, "a script", err, "refusing to log out of work (selected by default) without confirmation (not a terminal)", "run 'fob logout work', or add --yes")
}

func TestLogin_AsksForTheServer(t *testing.T) {
	for name, test := range map[string]struct {
		profile config.Profile
		answers []string
		issuer  string
		shown   string
	}{
		"any":           {config.Profile{Name: "work"}, []string{"https://sso.example.com"}, "https://sso.example.com", "Issuer URL of the server: "},
		"another try":   {config.Profile{Name: "work"}, []string{"", "sso", "https://sso.example.com"}, "https://sso.example.com", "Try again: "},
		"a preset's":    {config.Profile{Name: "k", Provider: "keycloak"}, []string{"sso.example.com", "acme"}, "https://sso.example.com/realms/acme", "The realm in https://{host}/realms/{realm}: "},
		"near a preset": {config.Profile{Name: "gihub"}, []string{"https://sso.example.com"}, "https://sso.example.com", `There is no preset "gihub"; did you mean 'fob login github'? Issuer URL of the server: `},
	} {
		a := cmdtest.New(t, "")
		shown := onTerminal(t, a, test.answers...)
		err := completeServer(t.Context(), a.App, &test.profile)
		if text := shown(); err != nil || test.profile.WithProvider().Issuer != test.issuer || !strings.Contains(text, test.shown) {
			t.Errorf("%s: %v, %+v\n%s", name, err, test.profile, text)
		}
	}
}

func TestLogin_AsksForTheClient(t *testing.T) {
	for name, test := range map[string]struct {
		profile config.Profile
		device  bool
		want    []string
		not     string
	}{
		"a browser": {config.Profile{Name: "github", Provider: "github"}, false, []string{"https://github.com/settings/applications/new\nwith the redirect URI http://127.0.0.1/callback/", "whole path"}, "Device"},
		"a device":  {config.Profile{Name: "github", Provider: "github"}, true, []string{"https://github.com/settings/applications/new\nwith the device flow enabled\n", "Check Enable Device Flow"}, "redirect"},
		"no preset": {config.Profile{Name: "work", Issuer: "https://sso.example.com"}, true, []string{"your server\nwith the device flow enabled\n"}, "redirect"},
	} {
		a := cmdtest.New(t, "")
		shown := onTerminal(t, a, "my-client")
		err := completeClient(t.Context(), a.App, &test.profile, test.device)
		text := shown()
		if err != nil || test.profile.ClientID != "my-client" || strings.Contains(text, test.not) {
			t.Errorf("%s: %v, %+v\n%s", name, err, test.profile, text)
		}
		for _, want := range test.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q is not in\n%s", name, want, text)
			}
		}
	}
}

// Without a keyring, a user chooses what opens the encrypted file; nothing is chosen for them.
func TestLogin_AsksForTheStorage(t *testing.T) {
	for name, test := range map[string]struct {
		answers []string
		fails   bool
		keyFile bool
	}{
		"a passphrase":       {[]string{"1"}, false, false},
		"a key file":         {[]string{"2", "KEY"}, false, true},
		"a key file in data": {[]string{"2", "DATA", "DATA", "DATA"}, true, false},
		"quit":               {[]string{"q"}, true, false},
		"none of these":      {[]string{"3", "x", ""}, true, false},
	} {
		a := cmdtest.New(t, "# mine\n")
		key := filepath.Join(t.TempDir(), "fob.key")
		for i, answer := range test.answers {
			test.answers[i] = strings.NewReplacer("KEY", key, "DATA", filepath.Join(a.Home, "data", "key")).Replace(answer)
		}
		shown := onTerminal(t, a, test.answers...)
		err := askStorage(t.Context(), a.App, credstore.ErrAbsent)
		if text := shown(); (err != nil) != test.fails || !strings.Contains(text, credstore.ErrAbsent.Error()) {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
		settings, _ := os.ReadFile(filepath.Join(a.Home, "config.toml"))
		info, statErr := os.Stat(key)
		if got := strings.Contains(string(settings), key) && statErr == nil && info.Mode().Perm() == 0o600; got != test.keyFile {
			t.Errorf("%s: %v, %s", name, statErr, settings)
		}
	}
}
