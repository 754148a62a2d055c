package credstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobcli/fob/internal/seal"
)

var work = seal.Context{Kind: "login", Profile: "work", Issuer: "https://sso.example.com", ClientID: "fob"}

// memoryKeyring is a keyring that is a map, and hangs when told to.
type memoryKeyring struct {
	mu      sync.Mutex // guards items
	items   map[string]string
	hang    chan struct{} // not nil: every call waits for it
	delay   time.Duration // of every write
	limit   int
	deaf    bool // takes items and gives none back
	prompts bool // a slow call waits for a person
	named   []string

	mortal  bool // it dies after some changes
	changes int  // that it still takes
}

var errDead = fmt.Errorf("%w: the keyring is gone", ErrRefused)

func (m *memoryKeyring) dieAfter(changes int) { m.mortal, m.changes = true, changes }

// revive ends its death, and reports whether it had not died at all.
func (m *memoryKeyring) revive() (survived bool) {
	survived, m.mortal = m.changes >= 0, false
	return survived
}

// change counts a change while it lives. It holds the lock.
func (m *memoryKeyring) change() error {
	if m.mortal {
		m.changes--
		if m.changes < 0 {
			return errDead
		}
	}
	return nil
}

func (m *memoryKeyring) reachable() error { return nil }
func (m *memoryKeyring) asking() bool     { return m.prompts }

func (m *memoryKeyring) each(p *patience, n int, do func(i int) error) error {
	return concurrently(p, m.asking, n, do)
}

func (m *memoryKeyring) get(account string) (string, error) {
	if m.hang != nil {
		<-m.hang
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.deaf {
		return "", ErrRefused
	}
	if m.mortal && m.changes < 0 {
		return "", errDead
	}
	value, ok := m.items[account]
	if !ok {
		return "", ErrNotFound
	}
	return value, nil
}

func (m *memoryKeyring) set(account, value string) error {
	if m.limit > 0 && len(value) > m.limit {
		return ErrTooLarge
	}
	<-time.After(m.delay)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.change(); err != nil {
		return err
	}
	m.items[account] = value
	return nil
}

func (m *memoryKeyring) delete(account string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.items[account]; !ok {
		return ErrNotFound
	}
	if err := m.change(); err != nil {
		return err
	}
	delete(m.items, account)
	return nil
}

func inMemory(dataDir string, m *memoryKeyring) *Store {
	k := &keyringItems{dataDir: dataDir, os: m, limits: patience{slow: time.Second, wait: time.Minute, unlock: time.Minute, notify: func(string) {}}}
	return &Store{items: k, key: sealKeyFile(dataDir), dataDir: dataDir, backend: "keyring", named: func() []string { return m.named }}
}

func inFiles(dataDir string, key KeySource) *Store {
	return NewFile(FileOptions{DataDir: dataDir, Key: key})
}

func fixedKey(key seal.Key) KeySource {
	return func(context.Context, bool) (seal.Key, error) { return key, nil }
}

func TestBackends(t *testing.T) {
	for name, s := range map[string]*Store{
		"keyring": inMemory(t.TempDir(), &memoryKeyring{items: map[string]string{}}),
		"file":    inFiles(t.TempDir(), fixedKey(seal.NewKey())),
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if _, err := s.Get(ctx, work); !errors.Is(err, ErrNotFound) {
				t.Errorf("a fresh store: %v", err)
			}
			if err := s.Delete(ctx, work); !errors.Is(err, ErrNotFound) {
				t.Errorf("deleting from a fresh store: %v", err)
			}
			for _, record := range [][]byte{[]byte("one"), bytes.Repeat([]byte("x"), 6<<10)} {
				if err := s.Set(ctx, work, Record{Body: record}); err != nil {
					t.Fatal(err)
				}
				if got, err := s.Get(ctx, work); err != nil || !bytes.Equal(got.Body, record) {
					t.Errorf("Get() = %d bytes, %v", len(got.Body), err)
				}
			}
			edited := work
			edited.Issuer = "https://evil.example"
			if _, err := s.Get(ctx, edited); !errors.Is(err, seal.ErrWrongContext) {
				t.Errorf("F48 an edited profile: %v", err)
			}
			if err := s.Probe(ctx, 8); err != nil {
				t.Errorf("Probe() = %v", err)
			}
			if err := s.Delete(ctx, work); err != nil {
				t.Error(err)
			}
			if _, err := s.Get(ctx, work); !errors.Is(err, ErrNotFound) {
				t.Errorf("after deletion: %v", err)
			}
		})
	}
}

func TestF48SwappedRecords(t *testing.T) {
	dir := t.TempDir()
	s := inFiles(dir, fixedKey(seal.NewKey()))
	play := work
	play.Profile = "play"
	for _, c := range []seal.Context{work, play} {
		if err := s.Set(t.Context(), c, Record{Body: []byte(c.Profile)}); err != nil {
			t.Fatal(err)
		}
	}
	records := filepath.Join(dir, "records", "login")
	if err := os.Rename(filepath.Join(records, "work"), filepath.Join(records, "play")); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), play); !errors.Is(err, seal.ErrWrongContext) {
		t.Errorf("F48: %q, %v", got, err)
	}
}

func TestF49WrongKeyIsNotTampering(t *testing.T) {
	dir := t.TempDir()
	if err := inFiles(dir, fixedKey(seal.NewKey())).Set(t.Context(), work, Record{}); err != nil {
		t.Fatal(err)
	}
	if _, err := inFiles(dir, fixedKey(seal.NewKey())).Get(t.Context(), work); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("F49: %v", err)
	}
}

// TestSlowKeyring: gnome-keyring writes its whole file for each item, which takes longer
// than the wait for a response if the items are many and the disk is slow.
func TestSlowKeyring(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		m := &memoryKeyring{items: map[string]string{}, delay: time.Second}
		s := inMemory(dir, m)
		s.items.(*keyringItems).limits.wait = 5 * time.Second
		record := bytes.Repeat([]byte("x"), 128<<10)
		if err := s.Set(t.Context(), work, Record{Body: record}); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get(t.Context(), work); err != nil || !bytes.Equal(got.Body, record) {
			t.Errorf("Get() = %d bytes, %v", len(got.Body), err)
		}
		if len(m.items) < 10 {
			t.Errorf("only %d items", len(m.items))
		}
	})
}

func TestE42HungKeyring(t *testing.T) {
	dir := t.TempDir()
	m := &memoryKeyring{items: map[string]string{}}
	if err := inMemory(dir, m).Set(t.Context(), work, Record{}); err != nil {
		t.Fatal(err)
	}
	m.hang = make(chan struct{})
	defer close(m.hang)
	s := inMemory(dir, m)
	k := s.items.(*keyringItems)
	k.limits.slow, k.limits.wait = time.Millisecond, 20*time.Millisecond
	if _, err := s.Get(t.Context(), work); !errors.Is(err, ErrTimeout) {
		t.Errorf("E42: %v", err)
	}
	if err := s.Set(t.Context(), work, Record{}); !errors.Is(err, ErrTimeout) {
		t.Errorf("E42 a second call: %v", err)
	}
	m.prompts = true
	s = inMemory(dir, m)
	k = s.items.(*keyringItems)
	told := 0
	k.limits.notify = func(string) { told++ }
	k.limits.slow, k.limits.wait, k.limits.unlock = time.Millisecond, time.Minute, 30*time.Millisecond
	if _, err := s.Get(t.Context(), work); !errors.Is(err, ErrLocked) || told != 1 {
		t.Errorf("E42 while a person may be asked: %v, told %d times", err, told)
	}
}

func TestE42InterruptedCallIsNotRepeated(t *testing.T) {
	dir := t.TempDir()
	m := &memoryKeyring{items: map[string]string{}}
	if err := inMemory(dir, m).Set(t.Context(), work, Record{}); err != nil {
		t.Fatal(err)
	}
	m.hang = make(chan struct{})
	ctx, interrupt := context.WithCancel(t.Context())
	s := inMemory(dir, m)
	k := s.items.(*keyringItems)
	k.limits.slow, m.prompts = time.Millisecond, true
	k.limits.notify = func(string) { interrupt() }
	if _, err := s.Get(ctx, work); !errors.Is(err, context.Canceled) {
		t.Errorf("Ctrl-C while the keyring hangs: %v", err)
	}
	close(m.hang) // a second call would succeed now, or prompt again
	if _, err := s.Get(t.Context(), work); !errors.Is(err, context.Canceled) {
		t.Errorf("a call after Ctrl-C: %v", err)
	}
	fresh := inMemory(dir, m)
	if _, err := fresh.Get(ctx, work); !errors.Is(err, context.Canceled) {
		t.Errorf("a call under a context that has ended: %v", err)
	}
	if _, err := fresh.Get(t.Context(), work); err != nil {
		t.Errorf("and it has not asked the keyring, so that the next may: %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	m := &memoryKeyring{items: map[string]string{}, limit: 500}
	s := inMemory(t.TempDir(), m)
	if err := s.Set(t.Context(), work, Record{Body: []byte("old")}); err != nil {
		t.Fatal(err)
	}
	if err := s.Set(t.Context(), work, Record{Body: make([]byte, 500)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Set() = %v", err)
	}
	if got, err := s.Get(t.Context(), work); err != nil || string(got.Body) != "old" {
		t.Errorf("the old record is %q, %v", got, err)
	}
}

func TestProbeWritesAsMuchAsItSays(t *testing.T) {
	m := &memoryKeyring{items: map[string]string{}, limit: 500}
	s := inMemory(t.TempDir(), m)
	if err := s.Probe(t.Context(), 8); err != nil {
		t.Error(err)
	}
	if err := s.Probe(t.Context(), 6<<10); !errors.Is(err, ErrTooLarge) || len(m.items) != 0 {
		t.Errorf("E45: Probe() = %v, and left %d items", err, len(m.items))
	}
}

func TestCheckKeyMakesNone(t *testing.T) {
	dir := t.TempDir()
	s := inMemory(dir, &memoryKeyring{items: map[string]string{}})
	if err := s.CheckKey(t.Context()); !errors.Is(err, ErrKeyMissing) {
		t.Errorf("CheckKey() = %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("CheckKey() left %v, %v", entries, err)
	}
	if err := s.Probe(t.Context(), 8); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckKey(t.Context()); err != nil {
		t.Errorf("CheckKey() = %v", err)
	}
}

func TestProbeThatFailsLeavesNothing(t *testing.T) {
	m := &memoryKeyring{items: map[string]string{}, deaf: true}
	if err := inMemory(t.TempDir(), m).Probe(t.Context(), 8); !errors.Is(err, ErrRefused) || len(m.items) != 0 {
		t.Errorf("Probe() = %v, and left %d items", err, len(m.items))
	}
}

func TestRecordTooLargeForAFile(t *testing.T) {
	s := inFiles(t.TempDir(), fixedKey(seal.NewKey()))
	if err := s.Set(t.Context(), work, Record{Body: []byte("old")}); err != nil {
		t.Fatal(err)
	}
	if err := s.Set(t.Context(), work, Record{Body: make([]byte, MaxRecord+1)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Set() = %v", err)
	}
	if got, err := s.Get(t.Context(), work); err != nil || string(got.Body) != "old" {
		t.Errorf("the old record is %q, %v", got, err)
	}
}

// Each of the hundred seals a record of its own, so that a key or an id that lost
// the race and was used all the same leaves a record that does not open.
func TestE46FirstRunRace(t *testing.T) {
	dir := t.TempDir()
	m := &memoryKeyring{items: map[string]string{}}
	racer := func(i int) seal.Context { return seal.Context{Kind: "login", Profile: "p" + strconv.Itoa(i)} }
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			<-start
			if err := inMemory(dir, m).Set(t.Context(), racer(i), Record{Body: []byte{byte(i)}}); err != nil {
				t.Errorf("E46: %v", err)
			}
		})
	}
	close(start)
	wg.Wait()
	s := inMemory(dir, m)
	for i := range 100 {
		if got, err := s.Get(t.Context(), racer(i)); err != nil || !bytes.Equal(got.Body, []byte{byte(i)}) {
			t.Errorf("E46: record %d is %v, %v", i, got, err)
		}
	}
	if len(m.items) != 100 {
		t.Errorf("E46: %d items", len(m.items))
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("E46: %v in the data folder, %v", entries, err)
	}
}

func TestDamagedFilesOfTheKeyring(t *testing.T) {
	for name, damaged := range map[string]error{"id": ErrCorrupt, "seal.key": ErrKeyDamaged} {
		dir := t.TempDir()
		s := inMemory(dir, &memoryKeyring{items: map[string]string{}})
		if err := s.Set(t.Context(), work, Record{}); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for what, content := range map[string][]byte{
			"a line end too many": append(bytes.Clone(good), '\n'),
			"truncated":           good[:len(good)-1],
			"empty":               nil,
		} {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Get(t.Context(), work); !errors.Is(err, damaged) {
				t.Errorf("%s: %s: Get() = %v", name, what, err)
			}
			if err := s.Set(t.Context(), work, Record{}); !errors.Is(err, damaged) {
				t.Errorf("%s: %s: Set() = %v", name, what, err)
			}
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, content) {
				t.Errorf("%s: %s: it was replaced, %v", name, what, err)
			}
		}
	}
}
