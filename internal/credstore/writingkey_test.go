package credstore

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/fobcli/fob/internal/seal"
)

// entryOf is a record with its lock, as all commands write it.
func entryOf(s *Store, profile string) Entry {
	c := work
	c.Profile = profile
	return Entry{Store: s, Context: c, Lock: filepath.Join(s.dataDir, "locks", profile+".lock")}
}

func mustReplace(t *testing.T, e Entry) {
	t.Helper()
	if err := e.Replace(t.Context(), Record{Body: []byte(e.Context.Profile)}); err != nil {
		t.Fatal(err)
	}
}

// lostKeys are storages with the record "work", and how each loses its key.
func lostKeys(t *testing.T) map[string]struct {
	open func() *Store
	key  string
} {
	keyring, m := t.TempDir(), &memoryKeyring{items: map[string]string{}}
	passphrase := t.TempDir()
	keyFile, path := t.TempDir(), filepath.Join(t.TempDir(), "fob.key")
	if err := MakeKeyFile(path, keyFile); err != nil {
		t.Fatal(err)
	}
	all := map[string]struct {
		open func() *Store
		key  string
	}{
		"keyring":  {func() *Store { return inMemory(keyring, m) }, filepath.Join(keyring, "seal.key")},
		"key file": {func() *Store { return inFiles(keyFile, KeyFile(path, keyFile)) }, path},
		"passphrase": {func() *Store {
			return inFiles(passphrase, Passphrase(PassphraseOptions{passphrase, (&asker{passphrase: "correct horse"}).ask}))
		}, filepath.Join(passphrase, "seal.json")},
	}
	for _, storage := range all {
		mustReplace(t, entryOf(storage.open(), "work"))
	}
	return all
}

func TestSet_LostKey(t *testing.T) {
	for name, storage := range lostKeys(t) {
		t.Run(name, func(t *testing.T) {
			good, err := os.ReadFile(storage.key)
			if err == nil {
				err = os.Remove(storage.key)
			}
			if err != nil {
				t.Fatal(err)
			}
			for what, change := range map[string]func(*Store) error{
				"a new record": func(s *Store) error { return entryOf(s, "play").Replace(t.Context(), Record{}) },
				"the same one": func(s *Store) error { return entryOf(s, "work").Replace(t.Context(), Record{}) },
				"a test":       func(s *Store) error { return s.Probe(t.Context(), 8) },
				"another key":  func(s *Store) error { return s.BeginRekey(t.Context(), seal.NewKey()) },
			} {
				if err := change(storage.open()); !errors.Is(err, ErrKeyMissing) && !errors.Is(err, ErrNoKey) {
					t.Errorf("%s: %v", what, err)
				}
				if _, err := os.Stat(storage.key); !errors.Is(err, fs.ErrNotExist) {
					t.Fatalf("%s has created a key: %v", what, err)
				}
			}
			if err := os.WriteFile(storage.key, good, 0o600); err != nil {
				t.Fatal(err)
			}
			if r, err := entryOf(storage.open(), "work").Get(t.Context()); err != nil || string(r.Body) != "work" {
				t.Errorf("with the key again: %q, %v", r.Body, err)
			}
			mustReplace(t, entryOf(storage.open(), "play"))
		})
	}
}

// Without the lock files, the configuration names the records in a keyring.
func TestSet_LostKeyAndLocks(t *testing.T) {
	dir, m := t.TempDir(), &memoryKeyring{items: map[string]string{}, named: []string{"login/absent", "login/work"}}
	mustReplace(t, entryOf(inMemory(dir, m), "work"))
	for _, lost := range []string{"seal.key", "locks"} {
		if err := os.RemoveAll(filepath.Join(dir, lost)); err != nil {
			t.Fatal(err)
		}
	}
	if err := entryOf(inMemory(dir, m), "play").Replace(t.Context(), Record{}); !errors.Is(err, ErrKeyMissing) {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "seal.key")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a key was created", err)
	}
	m.named = nil
	mustReplace(t, entryOf(inMemory(dir, m), "play"))
}

// A deleted record needs no key.
func TestSet_NoRecordNeedsTheKey(t *testing.T) {
	for name, storage := range lostKeys(t) {
		if name == "key file" { // only the user creates it
			continue
		}
		if err := os.Remove(storage.key); err != nil {
			t.Fatal(err)
		}
		s := storage.open()
		if err := entryOf(s, "work").Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustReplace(t, entryOf(s, "play"))
	}
}

func TestSet_AnotherKey(t *testing.T) {
	dir := t.TempDir()
	old := seal.NewKey()
	mustReplace(t, entryOf(inFiles(dir, fixedKey(old)), "work"))
	before, err := os.ReadFile(filepath.Join(dir, "records", "login", "work"))
	if err != nil {
		t.Fatal(err)
	}
	s := inFiles(dir, fixedKey(seal.NewKey()))
	for _, profile := range []string{"work", "play"} {
		var other *OtherKeyError
		if err := entryOf(s, profile).Replace(t.Context(), Record{}); !errors.As(err, &other) || !errors.Is(err, seal.ErrWrongKey) || other.Name != "login/work" {
			t.Errorf("%s: %v", profile, err)
		}
	}
	if now, err := os.ReadFile(filepath.Join(dir, "records", "login", "work")); err != nil || !bytes.Equal(now, before) {
		t.Errorf("the record has changed, %v", err)
	}
	// During a change of the key, both keys open the records.
	s = inFiles(dir, fixedKey(old))
	next := seal.NewKey()
	if err := s.BeginRekey(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	mustReplace(t, entryOf(inFiles(dir, fixedKey(next)), "play"))
	// A damaged record needs no key.
	if err := os.WriteFile(filepath.Join(dir, "records", "login", "work"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mustReplace(t, entryOf(inFiles(dir, fixedKey(next)), "home"))
}

// A record that was opened proves its key: nothing else is read to write it.
func TestSet_OpenedRecordProvesItsKey(t *testing.T) {
	dir := t.TempDir()
	key := fixedKey(seal.NewKey())
	mustReplace(t, entryOf(inFiles(dir, key), "work"))
	s := inFiles(dir, key)
	reads := &countedItems{items: s.items}
	s.items = reads
	e := entryOf(s, "work")
	if _, err := e.Get(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustReplace(t, e)
	if reads.listed != 0 {
		t.Errorf("the records were listed %d times", reads.listed)
	}
	mustReplace(t, entryOf(s, "play"))
	if reads.listed != 0 {
		t.Errorf("the records were listed %d times", reads.listed)
	}
}

type countedItems struct {
	items
	listed int
}

func (c *countedItems) names() []string {
	c.listed++
	return c.items.names()
}

// A record is found and read without its issuer and client, in one piece or in several.
func TestClaims(t *testing.T) {
	dir := t.TempDir()
	s := inMemory(dir, &memoryKeyring{items: map[string]string{}})
	e := entryOf(s, "work")
	e.Context.Issuer, e.Context.ClientID = "https://sso.example.com", "fob"
	for _, body := range [][]byte{[]byte("small"), bytes.Repeat([]byte("x"), 5*maxItem)} {
		if err := e.Replace(t.Context(), Record{Head: []byte("h"), Body: body}); err != nil {
			t.Fatal(err)
		}
		mustReplace(t, entryOf(s, "play"))
		names, err := s.NamesExcept(t.Context(), func(name string) bool { return name == "login/play" })
		if err != nil || len(names) != 1 || names[0] != "login/work" {
			t.Fatalf("%q, %v", names, err)
		}
		unknown := seal.Context{Kind: "login", Profile: "work"}
		if r, err := s.Claims().Get(t.Context(), unknown); err != nil || !bytes.Equal(r.Body, body) || string(r.Head) != "h" {
			t.Errorf("%d bytes, %v", len(r.Body), err)
		}
		if _, err := s.Get(t.Context(), unknown); !errors.Is(err, seal.ErrWrongContext) {
			t.Errorf("without its context: %v", err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "seal.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := inMemory(dir, &memoryKeyring{}).NamesExcept(t.Context(), func(string) bool { return false }); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "seal.key"), seal.NewKey().Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Claims().Get(t.Context(), e.Context); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("another key: %v", err)
	}
}

func TestLockedRecord(t *testing.T) {
	for file, want := range map[string]string{
		"work.lock": "login/work", "secret.stripe.prod.lock": "secret/stripe.prod", "peppers": "pepper/peppers",
		"work.kept.lock": "", "rotation-1OOivdDZfQCU": "", ".work.lock.ABC": "",
	} {
		if got := lockedRecord(file); got != want {
			t.Errorf("%s: %q", file, got)
		}
	}
}
