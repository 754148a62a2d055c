package records

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/app/apptest"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/secret"
)

// backUp returns a backup of everything.
func (m *machine) backUp() *Backup {
	m.t.Helper()
	b := NewBackup(m.Now())
	for _, label := range labels {
		if err := b.Add(m.t.Context(), m.record(label)); err != nil {
			m.t.Fatal(err)
		}
	}
	return b
}

// restoreAll restores records and returns what became of each.
func restoreAll(t *testing.T, m *apptest.Machine, all []Backed, opts RestoreOptions) map[string]Restored {
	t.Helper()
	done := map[string]Restored{}
	for _, r := range Restore(t.Context(), m.App, all, opts) {
		if r.Err != nil {
			t.Fatalf("%s: %v", r.Label, r.Err)
		}
		done[r.Label] = r
	}
	return done
}

func TestBackup_RoundTrip(t *testing.T) {
	passphrase := secret.New("correct horse battery staple")
	b := newMachine(t).backUp()
	var heapBefore, heap runtime.MemStats
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runtime.KeepAlive(make([]byte, 96<<20)) // as reading a thousand records leaves behind
	runtime.ReadMemStats(&heapBefore)
	file, err := b.Encrypt(passphrase)
	if runtime.ReadMemStats(&heap); heap.HeapSys > heapBefore.HeapSys+32<<20 || heap.HeapAlloc > 32<<20 {
		t.Errorf("the heap grew from %d MiB to %d MiB, of which %d MiB are left", heapBefore.HeapSys>>20, heap.HeapSys>>20, heap.HeapAlloc>>20)
	}
	if err != nil || bytes.Contains(file, []byte("canary")) {
		t.Fatal("it is not encrypted", err)
	}
	// Each unit of scrypt's work takes 1 KiB of memory, so that this is 2^16 KiB.
	head, _, _ := bytes.Cut(file, []byte("\n---"))
	if !bytes.Contains(head, []byte("\n-> scrypt ")) || !bytes.Contains(head, []byte(" 16\n")) {
		t.Errorf("the key takes another amount of memory: %s", head)
	}
	m := apptest.New(t, "")
	for want, test := range map[error]struct {
		file       []byte
		passphrase string
	}{
		ErrPassphrase: {file, "incorrect horse"},
		ErrCutOff:     {file[:len(file)-20], passphrase.Reveal()},
		ErrNotBackup:  {[]byte("text"), passphrase.Reveal()},
	} {
		if _, err := ReadBackup(m.App, test.file, secret.New(test.passphrase)); !errors.Is(err, want) {
			t.Errorf("ReadBackup() = %v, want %v", err, want)
		}
	}
	all, err := ReadBackup(m.App, file, passphrase)
	if err != nil || len(all) != 3 {
		t.Fatal(len(all), err)
	}
	before, _ := os.ReadFile(filepath.Join(m.Home, "config.toml"))
	for label, restored := range restoreAll(t, m, all, RestoreOptions{DryRun: true}) {
		if restored.Storage != "file" || restored.Kept {
			t.Errorf("%s, dry run: %+v", label, restored)
		}
	}
	if after, _ := os.ReadFile(filepath.Join(m.Home, "config.toml")); !bytes.Equal(before, after) {
		t.Errorf("a dry run changed the configuration to %s", after)
	}
	restoreAll(t, m, all, RestoreOptions{})
	here, err := Select(t.Context(), m.App, nil)
	if err != nil || Count(here) != "1 login, 1 secret and the peppers of API keys" {
		t.Fatal(Count(here), err)
	}
	for _, r := range here {
		if status, err := r.Status(t.Context()); err != nil || status.Health != "ok" {
			t.Errorf("%s: %+v, %v", r.Label, status, err)
		}
	}
	if held, err := m.HeldSecret(t.Context(), "stripe"); err != nil || held.Value.Reveal() != "sk_1" {
		t.Errorf("the secret is %v, %v", held.Value.Reveal(), err)
	}
	if cfg, _ := m.Config(); cfg.Profiles["work"].Issuer != "https://sso.example.com" {
		t.Errorf("the settings are %+v", cfg.Profiles)
	}
}

// What is stored here stays, unless it may be replaced.
func TestRestore_KeepsWhatIsHere(t *testing.T) {
	m := newMachine(t)
	all := m.parsed(m.backUp())
	m.setSecret("sk_2")
	if err := ChangePeppers(t.Context(), m.App, func(peppers map[string][]byte) error {
		peppers["p1"], peppers["p2"] = []byte("another"), []byte("local")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	state := func() string {
		t.Helper()
		held, err := m.HeldSecret(t.Context(), "stripe")
		if err != nil {
			t.Fatal(err)
		}
		peppers, err := ReadPeppers(t.Context(), m.App)
		if err != nil {
			t.Fatal(err)
		}
		return held.Value.Reveal() + " " + string(peppers["p1"]) + " " + string(peppers["p2"])
	}
	done := restoreAll(t, m.Machine, all, RestoreOptions{})
	if !done["work"].Kept || !done["secret/stripe"].Kept || strings.Join(done["key peppers"].KeptPeppers, " ") != "p1" {
		t.Errorf("%+v", done)
	}
	if got := state(); got != "sk_2 another local" {
		t.Errorf("without --force: %s", got)
	}
	// The secret's settings name no storage: the one that is replaced is in the same storage.
	done = restoreAll(t, m.Machine, all, RestoreOptions{Force: true})
	if got := state(); got != "sk_1 pepper local" || done["secret/stripe"].Left != nil {
		t.Errorf("with --force: %s, %+v", got, done)
	}
	if status, err := m.record("work").Status(t.Context()); err != nil || status.Health != "ok" {
		t.Errorf("with --force: %+v, %v", status, err)
	}
}

// Under another key, records are replaced only if the backup has all that need the old one.
func TestRestore_LostKey(t *testing.T) {
	m := newMachine(t)
	all := m.parsed(m.backUp())
	opts := RestoreOptions{Force: true}
	before := m.Environ["FOB_SEAL_KEY"]
	use := func(key string) {
		m.Environ["FOB_SEAL_KEY"] = key
		m.Rekeyed("", "", seal.Key{}) // as a new process
	}
	other := strings.Repeat("cd", 32)
	use(other)
	MarkReplaced(m.App, all[:2], opts)
	for _, r := range Restore(t.Context(), m.App, all[:2], opts) {
		if !errors.As(r.Err, new(*credstore.OtherKeyError)) {
			t.Errorf("%s: %v", r.Label, r.Err)
		}
	}
	use(before)
	for _, label := range labels {
		if status, err := m.record(label).Status(t.Context()); err != nil || status.Health != "ok" {
			t.Errorf("with the old key, %s: %+v, %v", label, status, err)
		}
	}
	use(other)
	MarkReplaced(m.App, all, opts)
	restoreAll(t, m.Machine, all, opts)
	for _, label := range labels {
		if status, err := m.record(label).Status(t.Context()); err != nil || status.Health != "ok" {
			t.Errorf("with the new key, %s: %+v, %v", label, status, err)
		}
	}
}

// parsed is a backup after it was opened.
func (m *machine) parsed(b *Backup) []Backed {
	m.t.Helper()
	text, err := b.marshal()
	if err != nil {
		m.t.Fatal(err)
	}
	all, err := parseBackup(m.App, text)
	if err != nil {
		m.t.Fatal(err)
	}
	return all
}

// Two secrets share a variable only after a restore, which reports it.
func TestRestore_SharedVariable(t *testing.T) {
	b := NewBackup(time.Time{})
	if err := b.Add(t.Context(), newMachine(t).record("secret/stripe")); err != nil {
		t.Fatal(err)
	}
	b.Secrets[0].Name, b.secrets[0].Name = "a-b", "a-b"
	m := &machine{Machine: apptest.New(t, "[secret.\"a/b\"]\nto = []\n"), t: t}
	done := restoreAll(t, m.Machine, m.parsed(b), RestoreOptions{})
	if done["secret/a-b"].SharedWith != "a/b" {
		t.Errorf("%+v", done)
	}
}

func TestReadBackup_Foreign(t *testing.T) {
	m := apptest.New(t, "")
	for _, text := range []string{"", "{}", `{"fob_backup":2}`, `{"fob_backup":1,"logins":[{"profile":"work"}]}`, `{"fob_backup":1,"secrets":[{"profile":"x"}]}`} {
		if _, err := parseBackup(m.App, []byte(text)); !errors.Is(err, ErrNotBackup) {
			t.Errorf("%q: %v", text, err)
		}
	}
	const damaged = `{"fob_backup":1,"config":"[profile.work]\nissuer = 'https://a.example'\n[secret.x]\n",
		"logins":[{"profile":"work","head":"e30="}],"secrets":[{"profile":"x","head":"e30="}],"peppers":"W10="}`
	all, err := parseBackup(m.App, []byte(damaged))
	if err != nil || len(all) != 3 {
		t.Fatal(len(all), err)
	}
	for _, r := range Restore(t.Context(), m.App, all, RestoreOptions{}) {
		if !errors.Is(r.Err, credstore.ErrCorrupt) {
			t.Errorf("%s: %v", r.Label, r.Err)
		}
	}
	if cfg, _ := m.Config(); len(cfg.Profiles)+len(cfg.Secrets) != 0 {
		t.Errorf("settings without a record: %+v", cfg)
	}
}

func TestBackup_Missing(t *testing.T) {
	m := newMachine(t)
	for _, label := range labels[:2] {
		r := m.record(label)
		if err := r.Remove(t.Context(), "file"); err != nil {
			t.Fatal(err)
		}
		if err := NewBackup(m.Now()).Add(t.Context(), r); !IsMissing(err) || !strings.Contains(err.Error(), label) {
			t.Errorf("%s: %v", label, err)
		}
	}
}
