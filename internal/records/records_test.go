package records

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/app/apptest"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/secret"
)

const settings = `
[profile.work]
issuer = 'https://sso.example.com'
client_id = 'fob'

[secret.stripe]
to = []
`

// machine has a login, a secret and a pepper. Another folder of files is its keyring.
type machine struct {
	*apptest.Machine
	t       *testing.T
	keyring *credstore.Store
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{apptest.New(t, settings), t, credstore.NewFile(credstore.FileOptions{DataDir: t.TempDir(), Key: credstore.EnvKey("", strings.Repeat("cd", 32))})}
	key := "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	m.store(m.record("work"), config.StorageFile, credstore.Record{Head: []byte(`{"v":1,"cache_key":"` + key + `"}`), Body: []byte(`{"metadata":{},"refresh_token":"canary"}`)})
	m.setSecret("sk_1")
	if err := ChangePeppers(t.Context(), m.App, func(peppers map[string][]byte) error {
		peppers["p1"] = []byte("pepper")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return m
}

var labels = []string{"work", "secret/stripe", "key peppers"}

// record is a record as the configuration has it now.
func (m *machine) record(label string) Record {
	m.t.Helper()
	cfg, err := m.Config()
	if err != nil {
		m.t.Fatal(err)
	}
	var r Record
	if label == "key peppers" {
		storage, _ := PeppersStorage(cfg)
		r = newPeppers(m.App, cfg, storage)
	} else {
		all, err := Select(m.t.Context(), m.App, []string{label})
		if err != nil {
			m.t.Fatal(err)
		}
		r = all[0]
	}
	open := r.open
	r.open = func(storage string, current bool) (content, error) {
		c, err := open(config.StorageFile, current && storage == config.StorageFile)
		if storage == config.StorageFile || err != nil {
			return c, err
		}
		if l, isLogin := c.(login); isLogin {
			l.Session.Store = m.keyring
			return login{l.Session.Entry(), l.Session}, nil
		}
		s := c.(sealed)
		s.Store = m.keyring
		return s, nil
	}
	return r
}

func (m *machine) store(r Record, storage string, stored credstore.Record) {
	m.t.Helper()
	c, err := r.open(storage, false)
	if err == nil {
		err = c.Import(m.t.Context(), stored)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) setSecret(value string) {
	m.t.Helper()
	v, err := m.SealedSecret(config.Secret{Name: "stripe", Storage: config.StorageFile})
	if err == nil {
		err = v.Set(m.t.Context(), secret.New(value))
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// isIn fails unless a record is in the storages, and nowhere else.
func (m *machine) isIn(r Record, storages ...string) {
	m.t.Helper()
	var found []string
	for _, storage := range config.Storages() {
		if _, err := r.read(m.t.Context(), storage); err == nil {
			found = append(found, storage)
		} else if !IsMissing(err) {
			m.t.Errorf("%s in %s: %v", r.Label, storage, err)
		}
	}
	if got, want := strings.Join(found, " "), strings.Join(storages, " "); got != want {
		m.t.Errorf("%s is in %q, want %q", r.Label, got, want)
	}
}

func TestMove(t *testing.T) {
	m := newMachine(t)
	for _, label := range labels {
		if moved, err := m.record(label).Move(t.Context(), "keyring"); err != nil || moved != (Moved{}) {
			t.Fatalf("%s: %+v, %v", label, moved, err)
		}
		r := m.record(label)
		if r.Storage != "keyring" {
			t.Errorf("%s: the configuration names %q", label, r.Storage)
		}
		m.isIn(r, "keyring")
		if moved, err := r.Move(t.Context(), "keyring"); err != nil || !moved.Already {
			t.Errorf("%s, again: %+v, %v", label, moved, err)
		}
		if err := r.Remove(t.Context(), "keyring"); err != nil {
			t.Fatal(err)
		}
		if moved, err := r.Move(t.Context(), "file"); err != nil || !moved.Missing || m.record(label).Storage != "file" {
			t.Errorf("%s, missing: %+v, %v", label, moved, err)
		}
	}
}

// Where the other storage is not available, nothing changes: not even where a login that is
// not stored will be.
func TestMove_Unavailable(t *testing.T) {
	m := newMachine(t)
	m.keyring = credstore.NewFile(credstore.FileOptions{DataDir: t.TempDir(), Key: func(context.Context, bool) (seal.Key, error) { return seal.Key{}, credstore.ErrNoKey }})
	for _, label := range labels {
		for _, stored := range []bool{true, false} {
			r := m.record(label)
			if !stored {
				if err := r.Remove(t.Context(), "file"); err != nil {
					t.Fatal(err)
				}
			}
			moved, err := r.Move(t.Context(), "keyring")
			if !errors.Is(err, credstore.ErrNoKey) || moved.Missing || m.record(label).Storage != "file" {
				t.Errorf("%s, stored %v: %+v, %v", label, stored, moved, err)
			}
		}
	}
}

// A move stops anywhere: the record stays where the configuration says, and a check
// deletes the copy.
func TestMove_Interrupted(t *testing.T) {
	m := newMachine(t)
	for _, label := range labels {
		r := m.record(label)
		r.config = filepath.Join(m.Home, "data") // which is a folder
		_, err := r.Move(t.Context(), "keyring")
		if err == nil || !strings.Contains(cli.CarriedHint(err), `stays in "file"`) {
			t.Errorf("%s: %v, hint %q", label, err, cli.CarriedHint(err))
		}
		m.isIn(r, "keyring", "file")
		for _, repair := range []bool{false, true} {
			if found, err := m.record(label).Check(t.Context(), repair); err != nil || found.Copy != "keyring" {
				t.Errorf("%s, repair %v: %+v, %v", label, repair, found, err)
			}
		}
		m.isIn(r, "file")
		if found, err := r.Check(t.Context(), true); err != nil || found != (Findings{}) {
			t.Errorf("%s, repaired: %+v, %v", label, found, err)
		}
	}
}

// A copy that may be newer than the record is never deleted.
func TestCheck_NewerCopyStays(t *testing.T) {
	m := newMachine(t)
	for _, label := range labels {
		r := m.record(label)
		c, _ := r.open("file", false)
		older, err := c.Export(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m.Time = m.Time.Add(time.Hour)
		switch r.Kind {
		case Login: // saving it sets its time
			m.store(r, "keyring", older)
		case Secret:
			m.setSecret("sk_2")
			newer, _ := c.Export(t.Context())
			m.store(r, "keyring", newer)
			m.store(r, "file", older)
		case Peppers: // have no time
			m.store(r, "keyring", credstore.Record{Head: []byte(`{}`)})
		}
		if _, err := r.Check(t.Context(), true); err == nil || !strings.Contains(err.Error(), "may be newer") {
			t.Errorf("%s: %v", label, err)
		}
		m.isIn(r, "keyring", "file")
	}
}

func TestTrouble(t *testing.T) {
	for want, errs := range map[string][]error{
		"damaged":                  {credstore.ErrCorrupt, seal.ErrFormat, seal.ErrTampered, fmt.Errorf("%w: %w", credstore.ErrCorrupt, seal.ErrFormat)},
		"sealed under another key": {seal.ErrWrongKey},
		"sealed for another profile, issuer or client": {seal.ErrWrongContext},
		"cannot be read here":                          {credstore.ErrAbsent, credstore.ErrLocked, credstore.ErrTimeout, credstore.ErrNoKey, credstore.ErrUnusable, errors.New("other")},
		"there is another copy":                        {errCopy},
	} {
		for _, err := range errs {
			if got := Trouble(fmt.Errorf("work: %w", err)); got != want {
				t.Errorf("%v: %s, want %s", err, got, want)
			}
		}
	}
}

func TestCheck_Damage(t *testing.T) {
	m := newMachine(t)
	for _, label := range labels {
		r := m.record(label)
		c, _ := r.open("file", false)
		entry := credstore.Entry{}
		switch c := c.(type) {
		case login:
			entry = c.Entry
		case sealed:
			entry = c.Entry
		}
		if err := entry.Replace(t.Context(), credstore.Record{Head: []byte("[]")}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Check(t.Context(), true); !errors.Is(err, credstore.ErrCorrupt) {
			t.Errorf("%s: %v", label, err)
		}
		status, err := r.Status(t.Context())
		if status.Health != "unreadable" || status.Problem == "" || status.Items != 1 || !errors.Is(err, credstore.ErrCorrupt) {
			t.Errorf("%s: %+v, %v", label, status, err)
		}
		m.isUnchanged(entry)
	}
}

func (m *machine) isUnchanged(entry credstore.Entry) {
	m.t.Helper()
	if r, err := entry.Get(m.t.Context()); err != nil || string(r.Head) != "[]" {
		m.t.Errorf("a damaged record was changed to %q, %v", r.Head, err)
	}
}

func TestStatus(t *testing.T) {
	m := newMachine(t)
	for label, missing := range map[string]string{"work": "not logged in", "secret/stripe": "no value"} {
		r := m.record(label)
		if status, err := r.Status(t.Context()); err != nil || status.Health != "ok" || status.Items != 1 || status.Bytes == 0 || status.Profile+status.Record != label {
			t.Errorf("%s: %+v, %v", label, status, err)
		}
		if err := r.Remove(t.Context(), "file"); err != nil {
			t.Fatal(err)
		}
		if status, err := r.Status(t.Context()); err != nil || status.Health != missing || status.Items != 0 {
			t.Errorf("%s, missing: %+v, %v", label, status, err)
		}
		if found, err := r.Check(t.Context(), true); err != nil || !found.Missing {
			t.Errorf("%s, missing: %+v, %v", label, found, err)
		}
	}
}

// A change of the key that stops half way locks nobody out.
func TestRekey(t *testing.T) {
	m, ctx := newMachine(t), t.Context()
	healthy := func(when string) {
		t.Helper()
		for _, label := range labels {
			if status, err := m.record(label).Status(ctx); err != nil || status.Health != "ok" {
				t.Errorf("%s, %s: %+v, %v", label, when, status, err)
			}
		}
	}
	full := errors.New("disk full")
	if err := Rekey(ctx, m.App, "file", seal.NewKey(), func() error { return full }); !errors.Is(err, full) {
		t.Fatal(err)
	}
	healthy("the source has the old key")
	if err := Rekey(ctx, m.App, "file", seal.NewKey(), func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	healthy("before they are sealed again")
	if err := FinishRekey(ctx, m.App, "file"); err != nil {
		t.Fatal(err)
	}
	healthy("at the end")
	store, _ := m.Store("file")
	if pending, err := store.Rekeying(); pending || err != nil {
		t.Errorf("Rekeying() = %v, %v", pending, err)
	}
	old := credstore.NewFile(credstore.FileOptions{DataDir: m.Home + "/data", Key: credstore.EnvKey("", strings.Repeat("ab", 32))})
	if _, err := old.Get(ctx, PeppersContext); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("under the old key: %v", err)
	}
}

func TestSelect(t *testing.T) {
	m := newMachine(t)
	for args, want := range map[string]string{
		"":                        "work secret/stripe key peppers",
		"work work secret/stripe": "secret/stripe work",
		"nobody":                  "error",
		"secret/nothing":          "error",
	} {
		all, err := Select(t.Context(), m.App, strings.Fields(args))
		var got []string
		for _, r := range all {
			got = append(got, r.Label)
		}
		if err != nil {
			got = []string{"error"}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("Select(%q) = %q, %v", args, got, err)
		}
	}
	if all, err := In(t.Context(), m.App, config.StorageKeyring); len(all) != 0 || err != nil {
		t.Errorf("In(keyring) = %v, %v", all, err)
	}
}

func TestCount(t *testing.T) {
	l, s, p := Record{Kind: Login}, Record{Kind: Secret}, Record{Kind: Peppers}
	for want, records := range map[string][]Record{
		"0 logins":                            nil,
		"1 login":                             {l},
		"2 secrets":                           {s, s},
		"1 login and the peppers of API keys": {p, l},
		"2 logins, 1 secret and the peppers of API keys": {l, s, l, p},
	} {
		if got := Count(records); got != want {
			t.Errorf("Count() = %q, want %q", got, want)
		}
	}
}

// Two changes of a record at once: the one that waited fails if the record has moved.
func TestMove_WaitingChangeFails(t *testing.T) {
	m := newMachine(t)
	r := m.record("secret/stripe")
	waiting, err := r.open("file", true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Move(t.Context(), "keyring"); err != nil {
		t.Fatal(err)
	}
	if err := waiting.Reseal(context.Background()); err == nil {
		t.Error("a record that has moved was changed where it was")
	}
}
