package storage

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
)

// Where there is no keyring, nothing moves there: neither a record nor a setting.
func TestMigrate_NoKeyring(t *testing.T) {
	a := newApp(t)
	for _, args := range [][]string{{"migrate", "--to", "keyring"}, {"migrate", "--to", "keyring", "work"}} {
		_, notes, err := a.Run(New, args...)
		if !errors.Is(err, credstore.ErrAbsent) || notes != "" || !strings.Contains(cli.CarriedHint(err), "run 'fob doctor'") {
			t.Errorf("%q: %q, %v, hint %q", args, notes, err, cli.CarriedHint(err))
		}
	}
	if cfg, err := a.Config(); err != nil || cfg.Profiles["work"].Storage != "" || cfg.Secrets["stripe"].Storage != "file" && cfg.Secrets["stripe"].Storage != "" {
		t.Errorf("%+v, %v", cfg, err)
	}
	if _, notes, err := a.Run(New, "check"); err != nil || notes != "work: not logged in.\nsecret/stripe: ok.\n" {
		t.Errorf("%q, %v", notes, err)
	}
}

// A missing keyring is no damage, and hides no other record.
func TestCheck_NoKeyring(t *testing.T) {
	a := newApp(t)
	a.Run(New, "migrate", "--to", "keyring") //nolint:errcheck // fails
	if _, err := os.Stat(a.Home + "/data/id"); !errors.Is(err, os.ErrNotExist) {
		t.Error("fob looks as if it had been used with a keyring", err)
	}
	a.Write("data/id", "0123456789abcdef") // it has
	b := cmdtest.New(t, "", "FOB_HOME="+a.Home, "FOB_STORAGE=keyring")
	if err := config.SaveProfile(a.Home+"/config.toml", config.Profile{Name: "work", Issuer: "https://sso.example.com", ClientID: "fob", Storage: "keyring"}); err != nil {
		t.Fatal(err)
	}
	if err := config.SaveSecret(a.Home+"/config.toml", config.Secret{Name: "stripe", Storage: "file"}); err != nil {
		t.Fatal(err)
	}
	if _, notes, err := b.Run(New, "check"); !errors.Is(err, credstore.ErrAbsent) || notes != "work: cannot be read here.\nsecret/stripe: ok.\n" {
		t.Errorf("%q, %v", notes, err)
	}
	out, _, err := b.Run(New, "status")
	if !errors.Is(err, credstore.ErrAbsent) || !strings.Contains(out, "unreadable") || !strings.Contains(out, "ok") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A change of the key could not be finished without the keyring, so it does not begin.
func TestRekey_NoKeyring(t *testing.T) {
	a := newApp(t)
	for range 2 {
		if _, _, err := a.Run(New, "rekey", "--storage", "keyring"); !errors.Is(err, credstore.ErrAbsent) {
			t.Error(err)
		}
	}
	for _, name := range []string{"seal.key", "id"} {
		if _, err := os.Stat(a.Home + "/data/" + name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left behind: %v", name, err)
		}
	}
	if _, notes, err := a.Run(New, "check"); err != nil || notes != "work: not logged in.\nsecret/stripe: ok.\n" {
		t.Errorf("%q, %v", notes, err)
	}
	// One that an older fob began is finished if nothing can be in the keyring.
	if err := os.Mkdir(a.Home+"/data/previous", 0o700); err != nil {
		t.Fatal(err)
	}
	a.Write("data/previous/keyring", "sealed")
	if _, notes, err := a.Run(New, "check"); err != nil || !strings.HasSuffix(notes, "keyring: an interrupted change of the key is finished.\n") {
		t.Errorf("%q, %v", notes, err)
	}
}
