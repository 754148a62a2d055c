package storage

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/records"
	"github.com/fobcli/fob/internal/secret"
)

const phrase = "correct horse battery staple"

func setPepper(t *testing.T, a *cmdtest.App, value string) {
	t.Helper()
	if err := records.ChangePeppers(t.Context(), a.App, func(peppers map[string][]byte) error {
		peppers["p1"] = []byte(value)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

var (
	backupOnce sync.Once
	backupText string
)

// backup returns what the command writes for newApp and a pepper. It is encrypted anew at a
// fraction of the cost: a second for each test would be too much.
func backup(t *testing.T) string {
	t.Helper()
	backupOnce.Do(func() {
		a := newApp(t)
		setPepper(t, a, "pepper")
		out, notes, err := a.Run(New, "backup", "--output", "-", "--passphrase-file", a.Write("phrase", phrase+"\n"))
		if err != nil || notes != "work: skipped, not logged in.\n1 secret and the peppers of API keys backed up.\n" {
			t.Fatalf("%q, %v", notes, err)
		}
		if !strings.HasPrefix(out, "age-encryption.org/v1") || strings.Contains(out, "canary") {
			t.Fatalf("it is not encrypted: %q", out)
		}
		identity, err := age.NewScryptIdentity(phrase)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := age.Decrypt(strings.NewReader(out), identity)
		if err != nil {
			t.Fatal(err)
		}
		recipient, err := age.NewScryptRecipient(phrase)
		if err != nil {
			t.Fatal(err)
		}
		recipient.SetWorkFactor(2)
		var file bytes.Buffer
		w, err := age.Encrypt(&file, recipient)
		if err == nil {
			_, err = io.Copy(w, plain)
		}
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		backupText = file.String()
	})
	if backupText == "" {
		t.Fatal("there is no backup")
	}
	return backupText
}

// What is wrong is found before the user types a passphrase, and no file is made.
func TestBackup_Refusals(t *testing.T) {
	damaged := newApp(t)
	damage(damaged)
	for name, test := range map[string]struct {
		a         *cmdtest.App
		args      string
		err, hint string
	}{
		"no output":         {newApp(t), "", "--output is required", "use --output FILE, or - for stdout"},
		"logged out":        {newApp(t), "--output OUT work", "work: ", ""},
		"an unknown login":  {newApp(t), "--output OUT nobody", `"nobody"`, ""},
		"nothing is stored": {cmdtest.New(t, ""), "--output OUT", "no login and no secret", "run 'fob status' to see the logins, 'fob secret list' to see the secrets"},
		"a damaged record":  {damaged, "--output OUT", credstore.ErrCorrupt.Error(), ""},
		"no terminal":       {newApp(t), "--output OUT", "not a terminal", "use --passphrase-file FILE"},
	} {
		out := filepath.Join(test.a.Home, "b.age")
		_, _, err := test.a.Run(New, append([]string{"backup"}, strings.Fields(strings.ReplaceAll(test.args, "OUT", out))...)...)
		if err == nil || !strings.Contains(err.Error(), test.err) || cli.CarriedHint(err) != test.hint {
			t.Errorf("%s: %v, hint %q", name, err, cli.CarriedHint(err))
		}
		if app.PathExists(out) {
			t.Errorf("%s: a file was made", name)
		}
	}
}

func TestBackup_ReplacesAFileOnlyByForce(t *testing.T) {
	a := newApp(t)
	path := a.Write("b.age", "older")
	err := writeBackup(a.App, []byte("newer"), backupOptions{File: path})
	if text, _ := os.ReadFile(path); !cli.IsUsage(err) || !strings.Contains(cli.CarriedHint(err), "--force") || string(text) != "older" {
		t.Errorf("%q, %v, hint %q", text, err, cli.CarriedHint(err))
	}
	err = writeBackup(a.App, []byte("newer"), backupOptions{File: path, Force: true})
	if text, _ := os.ReadFile(path); err != nil || string(text) != "newer" {
		t.Errorf("with --force: %q, %v", text, err)
	}
}

// What this machine has already is replaced only with --force, and a dry run changes nothing.
func TestRestore(t *testing.T) {
	const restored, peppers = "secret/stripe: restored to \"file\".\n", "key peppers: restored to \"file\".\n"
	for name, test := range map[string]struct {
		here         bool
		flags, notes string
		value        string // of the secret, and of the pepper
	}{
		"dry run":          {false, "--dry-run", strings.ReplaceAll(restored+peppers, "restored", "would be restored"), " "},
		"a new machine":    {false, "", restored + peppers, "canary pepper"},
		"named storage":    {false, "--storage file", restored + peppers, "canary pepper"},
		"what is here":     {true, "", "secret/stripe: already exists, not replaced; --force replaces it.\nkey peppers: p1 already exists, not replaced; --force replaces it.\n" + peppers, "here another"},
		"dry run, --force": {true, "--force --dry-run", strings.ReplaceAll(restored+peppers, "restored", "would be restored"), "here another"},
		"--force":          {true, "--force", restored + peppers, "canary pepper"},
	} {
		t.Run(name, func(t *testing.T) {
			a := cmdtest.New(t, "")
			if test.here {
				a = cmdtest.New(t, settings)
				setPepper(t, a, "another")
				v, err := a.SealedSecret(config.Secret{Name: "stripe"})
				if err == nil {
					err = v.Set(t.Context(), secret.New("here"))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			args := append([]string{"restore", a.Write("b.age", backup(t)), "--passphrase-file", a.Write("phrase", phrase)}, strings.Fields(test.flags)...)
			if _, notes, err := a.Run(New, args...); err != nil || notes != test.notes {
				t.Errorf("%q, %v", notes, err)
			}
			held, _ := a.HeldSecret(t.Context(), "stripe")
			peppers, err := records.ReadPeppers(t.Context(), a.App)
			if got := held.Value.Reveal() + " " + string(peppers["p1"]); err != nil || got != test.value {
				t.Errorf("%q, %v", got, err)
			}
			if test.value == " " && app.PathExists(filepath.Join(a.Home, "config.toml")) {
				t.Error("a dry run has made a configuration")
			}
		})
	}
}

// A failed restore changes nothing, not even on a machine without a configuration.
func TestRestore_Failures(t *testing.T) {
	a := cmdtest.New(t, "")
	file, cut, text := a.Write("b.age", backup(t)), a.Write("cut.age", backup(t)[:len(backup(t))-20]), a.Write("text", "text")
	good, wrong, empty := a.Write("phrase", phrase), a.Write("wrong", "tick tock horse battery\n"), a.Write("empty", "")
	const nameOne = "name a file that 'fob storage backup' wrote"
	for name, test := range map[string]struct {
		args      []string
		err, hint string
		usage     bool
	}{
		"no file":          {[]string{}, "takes one file", "see 'fob storage restore --help'", true},
		"two files":        {[]string{file, file}, "takes one file", "see 'fob storage restore --help'", true},
		"a missing file":   {[]string{file + "x"}, file + "x", nameOne, false}, // exitOf makes it wrong usage
		"a folder":         {[]string{a.Home}, "not a regular file", nameOne, true},
		"a storage":        {[]string{file, "--storage", "disk"}, `"disk"`, "choose one of keyring, file", true},
		"no terminal":      {[]string{file}, "not a terminal", "use --passphrase-file FILE", true},
		"an empty phrase":  {[]string{file, "--passphrase-file", empty}, empty + " is empty", "write the secret to it; in a script, check the command that produces it", true},
		"wrong passphrase": {[]string{file, "--passphrase-file", wrong}, file + ": wrong passphrase", "nothing was changed; try again", false},
		"cut off":          {[]string{cut, "--passphrase-file", good}, cut + ": damaged or cut off", "nothing was changed; copy the backup again", false},
		"another file":     {[]string{text, "--passphrase-file", good}, text + ": " + records.ErrNotBackup.Error(), "nothing was changed; 'fob storage backup' writes one", false},
	} {
		_, notes, err := a.Run(New, append([]string{"restore"}, test.args...)...)
		if err == nil || !strings.Contains(err.Error(), test.err) || cli.CarriedHint(err) != test.hint || cli.IsUsage(err) != test.usage || notes != "" {
			t.Errorf("%s: %q, %v, hint %q, usage %v", name, notes, err, cli.CarriedHint(err), cli.IsUsage(err))
		}
	}
	if app.PathExists(filepath.Join(a.Home, "config.toml")) || app.PathExists(filepath.Join(a.Home, "data")) {
		t.Error("a failed restore has written something")
	}
}
