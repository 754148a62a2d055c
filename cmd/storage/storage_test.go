package storage

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/secret"
)

const settings = "[profile.work]\nissuer = 'https://sso.example.com'\nclient_id = 'fob'\n\n[secret.stripe]\nto = []\n"

// newApp has a login that is logged out, and a secret.
func newApp(t *testing.T, environ ...string) *cmdtest.App {
	t.Helper()
	a := cmdtest.New(t, settings, environ...)
	v, err := a.SealedSecret(config.Secret{Name: "stripe"})
	if err == nil {
		err = v.Set(t.Context(), secret.New("canary"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// damage replaces the sealed secret by text.
func damage(a *cmdtest.App) { a.Write("data/records/secret/stripe", "junk") }

func TestStatus(t *testing.T) {
	if out, notes, err := cmdtest.New(t, "").Run(New, "status"); out != "" || !strings.Contains(notes, "fob login github") || err != nil {
		t.Errorf("nothing is stored: %q, %q, %v", out, notes, err)
	}
	a := newApp(t)
	out, _, err := a.Run(New, "status")
	if err != nil || !strings.Contains(out, "secret/stripe") || !strings.Contains(out, "not logged in") {
		t.Errorf("%v\n%s", err, out)
	}
	var all []storageJSON
	out, _, err = a.Run(New, "status", "--json")
	if jsonErr := json.Unmarshal([]byte(out), &all); err != nil || jsonErr != nil || len(all) != 1 {
		t.Fatalf("%v, %v\n%s", err, jsonErr, out)
	}
	if s := all[0]; s.Storage != "file" || s.KeySource != "FOB_SEAL_KEY" || len(s.Logins) != 1 || len(s.Records) != 1 || s.Records[0].Health != "ok" {
		t.Errorf("%+v", s)
	}
	damage(a)
	if out, _, err := a.Run(New, "status"); !errors.Is(err, credstore.ErrCorrupt) || !strings.Contains(out, "unreadable") {
		t.Errorf("damaged: %v\n%s", err, out)
	}
}

func TestCheck(t *testing.T) {
	a := newApp(t)
	for args, want := range map[string][]string{
		"":              {"work: not logged in.", "secret/stripe: ok."},
		"secret/stripe": {"secret/stripe: ok."},
	} {
		_, notes, err := a.Run(New, append([]string{"check"}, strings.Fields(args)...)...)
		if got := strings.TrimSpace(notes); err != nil || got != strings.Join(want, "\n") {
			t.Errorf("check %s: %q, %v", args, got, err)
		}
	}
	damage(a)
	if _, notes, err := a.Run(New, "check"); !errors.Is(err, credstore.ErrCorrupt) || !strings.Contains(notes, "secret/stripe: damaged.") || !strings.Contains(notes, "work: ") {
		t.Errorf("damaged: %q, %v", notes, err)
	}
}

func TestMigrate(t *testing.T) {
	a := newApp(t)
	for _, test := range []struct {
		args, notes, err string
	}{
		{"", "", "--to is required"},
		{"--to nowhere", "", `"nowhere"`},
		{"--to file nobody", "", `"nobody"`},
		{"--to keyring --dry-run", `work: would move from "file" to "keyring".` + "\n" + `secret/stripe: would move from "file" to "keyring".`, ""},
		{"--to file --dry-run secret/stripe", `secret/stripe: already in "file".`, ""},
		{"--to file secret/stripe", `secret/stripe: already in "file".`, ""},
	} {
		_, notes, err := a.Run(New, append([]string{"migrate"}, strings.Fields(test.args)...)...)
		if strings.TrimSpace(notes) != test.notes || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("migrate %s: %q, %v", test.args, notes, err)
		}
	}
	if cfg, _ := a.Config(); cfg.Secrets["stripe"].Storage != "file" || cfg.Profiles["work"].Storage != "" {
		t.Errorf("the settings name %q and %q", cfg.Secrets["stripe"].Storage, cfg.Profiles["work"].Storage)
	}
}

// What cannot be done is refused before the user is asked and a file is made.
func TestRekey_Refusals(t *testing.T) {
	for _, test := range []struct{ environ, args, want string }{
		{"FOB_SEAL_KEY=", "", "source of the new key is required"},
		{"FOB_SEAL_KEY=", "--storage keyring --passphrase", "makes the keyring's key itself"},
		{"FOB_SEAL_KEY=", "--storage none --passphrase", `"none"`},
		{"FOB_SEAL_KEY=", "--passphrase --key-file k", "cannot be combined"},
		{"FOB_SEAL_KEY=", "--key-file HOME/data/k", "data folder"},
		{"FOB_SEAL_KEY=", "--passphrase-file missing", "missing"},
		{"FOB_MIN_TTL=", "--key-file k", "FOB_SEAL_KEY is set"}, // cmdtest sets it
		{"CREDENTIALS_DIRECTORY=/nowhere", "--passphrase", "is set"},
	} {
		a := cmdtest.New(t, settings, test.environ)
		for _, dryRun := range []string{"", " --dry-run"} {
			_, _, err := a.Run(New, append([]string{"rekey"}, strings.Fields(strings.ReplaceAll(test.args, "HOME", a.Home)+dryRun)...)...)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("rekey %s: %v, want %q", test.args, err, test.want)
			}
		}
	}
}

// Each source of a key opens the records that were sealed under another.
func TestRekey(t *testing.T) {
	a := newApp(t)
	if _, notes, err := a.Run(New, "rekey", "--seal-key-stdin", "--dry-run"); err != nil || notes != "Would seal 1 login and 1 secret in \"file\" again.\n" {
		t.Errorf("%q, %v", notes, err)
	}
	value := strings.Repeat("cd", 32)
	a.In = strings.NewReader(value)
	if _, notes, err := a.Run(New, "rekey", "--seal-key-stdin"); err != nil || !strings.Contains(notes, "Source of the key: FOB_SEAL_KEY") {
		t.Fatalf("%q, %v", notes, err)
	}
	opens := func(source string) {
		t.Helper()
		a.Rekeyed("", "", seal.Key{}) // as a new process
		if held, err := a.HeldSecret(t.Context(), "stripe"); err != nil || held.Value.Reveal() != "canary" {
			t.Errorf("with %s: %v", source, err)
		}
	}
	a.Environ["FOB_SEAL_KEY"] = value
	opens("FOB_SEAL_KEY")
	a.Environ["FOB_SEAL_KEY"] = ""
	path := filepath.Join(t.TempDir(), "fob.key")
	if err := os.WriteFile(path, []byte(value), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := config.Edit(filepath.Join(a.Home, "config.toml"), func(c *config.Config) { c.KeyFile = path }); err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(t.TempDir(), "next.key")
	if _, notes, err := a.Run(New, "rekey", "--key-file", next); err != nil || !strings.Contains(notes, "Source of the key: "+next) {
		t.Fatalf("%q, %v", notes, err)
	}
	opens("the key file")
	if cfg, _ := a.Config(); cfg.KeyFile != next {
		t.Errorf("config.toml names %q", cfg.KeyFile)
	}
}

func TestEach(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var done []int
	err := each(ctx, []int{1, 2, 3}, func(i int) error {
		done = append(done, i)
		if i == 2 {
			stop()
		}
		return errors.New("failed")
	})
	if len(done) != 2 || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", done, err)
	}
	if err := each(t.Context(), []int{1, 2}, func(int) error { return errors.New("failed") }); err == nil || err.Error() != "failed\nfailed" {
		t.Errorf("%v", err)
	}
}

// What cannot be read would need the old key for good.
func TestRekey_NothingIsChangedIfARecordCannotBeRead(t *testing.T) {
	for _, name := range []string{"login/other", "login/work", "secret/stripe"} {
		a := newApp(t)
		path := filepath.Join(a.Home, "data", "records", filepath.FromSlash(name))
		_ = os.Remove(path)
		if err := os.MkdirAll(path, 0o700); err != nil {
			t.Fatal(err)
		}
		a.In = strings.NewReader(strings.Repeat("cd", 32))
		_, _, err := a.Run(New, "rekey", "--seal-key-stdin")
		if !errors.Is(err, credstore.ErrUnusable) || !strings.Contains(err.Error(), filepath.Base(name)) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(a.Home, "data", "previous")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
