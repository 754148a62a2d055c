package storage

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/records"
	"github.com/fobcli/fob/internal/seal"
)

// interruptRekey leaves a change of the key unfinished: the records are still sealed with
// the old key, which is the current one.
func interruptRekey(t *testing.T, a *cmdtest.App) {
	t.Helper()
	killed := errors.New("killed")
	if err := records.Rekey(t.Context(), a.App, config.StorageFile, seal.NewKey(), func() error { return killed }); !errors.Is(err, killed) {
		t.Fatal(err)
	}
}

// A dry run reports what a check repairs, and the next check has nothing left to do.
func TestCheck_Repairs(t *testing.T) {
	for name, test := range map[string]struct {
		breaks           func(*testing.T, *cmdtest.App)
		reports, repairs string
	}{
		"an unfinished rekey": {interruptRekey, "file: an interrupted change of the key would be finished.\n", "file: an interrupted change of the key is finished.\n"},
		"a temp file": {func(t *testing.T, a *cmdtest.App) {
			t.Helper()
			old := cmdtest.Now().Add(-2 * tempFileAge)
			if err := os.Chtimes(a.Write("data/.work.ABCDEFGHIJKLMNOPQRSTUVWXYZ", "half"), old, old); err != nil {
				t.Fatal(err)
			}
		}, "1 temp file of interrupted writes would be deleted.\n", "1 temp file of interrupted writes deleted.\n"},
		"a write in progress": {func(_ *testing.T, a *cmdtest.App) { a.Write("data/.work.ABCDEFGHIJKLMNOPQRSTUVWXYZ", "half") }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t)
			test.breaks(t, a)
			const healthy = "work: not logged in.\nsecret/stripe: ok.\n"
			for i, want := range []string{test.reports, test.reports, test.repairs, ""} {
				args := []string{"check", "--dry-run"}
				if i > 1 {
					args = args[:1]
				}
				if _, notes, err := a.Run(New, args...); err != nil || notes != healthy+want {
					t.Errorf("%q, call %d: %q, %v", args, i, notes, err)
				}
			}
		})
	}
}

// A record that cannot be read on this machine is not called damaged, nor is it changed.
func TestCheck_CannotBeRead(t *testing.T) {
	a := newApp(t)
	for environ, want := range map[string]struct {
		note string
		err  error
	}{
		"FOB_SEAL_KEY=" + strings.Repeat("cd", 32): {"secret/stripe: sealed under another key.\n", seal.ErrWrongKey},
		"FOB_SEAL_KEY=": {"secret/stripe: cannot be read here.\n", credstore.ErrNoKey},
	} {
		other := cmdtest.New(t, "", "FOB_HOME="+a.Home, environ)
		if _, notes, err := other.Run(New, "check", "secret/stripe"); !errors.Is(err, want.err) || notes != want.note {
			t.Errorf("%s: %q, %v", environ, notes, err)
		}
	}
	if _, notes, err := a.Run(New, "check", "secret/stripe"); err != nil || notes != "secret/stripe: ok.\n" {
		t.Errorf("afterwards: %q, %v", notes, err)
	}
}

func TestStatus_Rekeying(t *testing.T) {
	a := newApp(t)
	interruptRekey(t, a)
	if _, notes, err := a.Run(New, "status"); err != nil || !strings.Contains(notes, `changing the key of "file" was interrupted; 'fob storage check' finishes it`) {
		t.Errorf("%q, %v", notes, err)
	}
	var all []storageJSON
	out, _, err := a.Run(New, "status", "--json")
	if jsonErr := json.Unmarshal([]byte(out), &all); err != nil || jsonErr != nil || len(all) != 1 || !all[0].Rekeying {
		t.Errorf("%v, %v\n%s", err, jsonErr, out)
	}
}

// JSON has the whole table also where a record cannot be read, and why.
func TestStatus_JSONOfADamagedRecord(t *testing.T) {
	a := newApp(t)
	damage(a)
	var all []map[string]any
	out, _, err := a.Run(New, "status", "--json")
	if jsonErr := json.Unmarshal([]byte(out), &all); !errors.Is(err, credstore.ErrCorrupt) || jsonErr != nil {
		t.Fatalf("%v, %v", err, jsonErr)
	}
	const want = `{"health":"unreadable","items":1,"problem":"the stored record is damaged: not a sealed fob record","record":"secret/stripe"}`
	row := all[0]["records"].([]any)[0].(map[string]any)
	if row["bytes"] != float64(len("junk")) {
		t.Errorf("%v bytes", row["bytes"])
	}
	delete(row, "bytes")
	if got, _ := json.Marshal(row); string(got) != want {
		t.Errorf("%s", got)
	}
}

// A rekey finishes the one before first, or its records would open under neither key.
func TestRekey_AfterAnInterruptedOne(t *testing.T) {
	a := newApp(t)
	interruptRekey(t, a)
	next := strings.Repeat("cd", 32)
	a.In = strings.NewReader(next)
	_, notes, err := a.Run(New, "rekey", "--seal-key-stdin")
	if err != nil || !strings.HasPrefix(notes, "file: an interrupted change of the key is finished.\n") {
		t.Fatalf("%q, %v", notes, err)
	}
	other := cmdtest.New(t, "", "FOB_HOME="+a.Home, "FOB_SEAL_KEY="+next)
	if _, notes, err := other.Run(New, "check", "secret/stripe"); err != nil || notes != "secret/stripe: ok.\n" {
		t.Errorf("%q, %v", notes, err)
	}
}

func TestRekey_SameKey(t *testing.T) {
	a := newApp(t)
	a.In = strings.NewReader(strings.Repeat("07", 32)) // the one of newApp
	if _, notes, err := a.Run(New, "rekey", "--seal-key-stdin"); !errors.Is(err, credstore.ErrSameKey) || notes != "" {
		t.Errorf("%q, %v", notes, err)
	}
	if _, err := os.Stat(a.Home + "/data/previous/file"); !errors.Is(err, os.ErrNotExist) {
		t.Error("the change has begun:", err)
	}
	interruptRekey(t, a) // before it switched to another key
	a.In = strings.NewReader(strings.Repeat("07", 32))
	if _, _, err := a.Run(New, "rekey", "--seal-key-stdin"); !errors.Is(err, credstore.ErrSameKey) {
		t.Error("after an interrupted one:", err)
	}
}

// After a rekey that was interrupted once the new key was in use, the same command finishes it.
func TestRekey_Repeated(t *testing.T) {
	a := newApp(t)
	next, err := seal.KeyFromBytes(bytes.Repeat([]byte{0xcd}, 32))
	if err != nil {
		t.Fatal(err)
	}
	if err := records.Rekey(t.Context(), a.App, config.StorageFile, next, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("cd", 32)
	again := cmdtest.New(t, "", "FOB_HOME="+a.Home, "FOB_SEAL_KEY="+text)
	again.In = strings.NewReader(text)
	if _, notes, err := again.Run(New, "rekey", "--seal-key-stdin"); err != nil || notes != "file: an interrupted change of the key is finished.\n" {
		t.Fatalf("%q, %v", notes, err)
	}
	if _, notes, err := again.Run(New, "check", "secret/stripe"); err != nil || notes != "secret/stripe: ok.\n" {
		t.Errorf("%q, %v", notes, err)
	}
}

func TestRekey_MissingFolder(t *testing.T) {
	a := cmdtest.New(t, "", "FOB_SEAL_KEY=")
	dir := filepath.Join(t.TempDir(), "stick")
	for _, args := range [][]string{{"rekey", "--key-file", dir + "/fob.key"}, {"rekey", "--key-file", dir + "/fob.key", "--dry-run"}} {
		if _, _, err := a.Run(New, args...); !cli.IsUsage(err) || !strings.Contains(cli.CarriedHint(err), "removable media") {
			t.Errorf("%q: %v, hint %q", args, err, cli.CarriedHint(err))
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error("fob created the folder:", err)
	}
}

// A new passphrase replaces a key file: config.toml no longer names it.
func TestRekey_Passphrase(t *testing.T) {
	a := newApp(t)
	key := filepath.Join(t.TempDir(), "fob.key")
	if err := os.WriteFile(key, []byte(strings.Repeat("07", 32)), 0o600); err != nil { // the one of newApp
		t.Fatal(err)
	}
	if err := config.Edit(filepath.Join(a.Home, "config.toml"), func(c *config.Config) { c.KeyFile = key }); err != nil {
		t.Fatal(err)
	}
	phrase := a.Write("phrase", "correct horse battery staple\n")
	b := cmdtest.New(t, "", "FOB_HOME="+a.Home, "FOB_SEAL_KEY=")
	if _, notes, err := b.Run(New, "rekey", "--passphrase-file", phrase); err != nil || !strings.Contains(notes, "Source of the key: the new passphrase.") {
		t.Fatalf("%q, %v", notes, err)
	}
	b = cmdtest.New(t, "", "FOB_HOME="+a.Home, "FOB_SEAL_KEY=", "FOB_PASSPHRASE_FILE="+phrase)
	if cfg, err := b.Config(); err != nil || cfg.KeyFile != "" {
		t.Errorf("config.toml still names %q, %v", cfg.KeyFile, err)
	}
	if _, notes, err := b.Run(New, "check", "secret/stripe"); err != nil || notes != "secret/stripe: ok.\n" {
		t.Errorf("%q, %v", notes, err)
	}
}
