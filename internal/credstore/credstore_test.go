package credstore

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/secret"
)

var work = seal.Context{Kind: "login", Profile: "work", Issuer: "https://sso.example.com", ClientID: "fob"}

// memoryKeyring is a keyring that is a map, and hangs when told to.
type memoryKeyring struct {
	mu      sync.Mutex // guards items
	items   map[string]string
	hang    chan struct{} // not nil: every call waits for it
	limit   int
	prompts bool // a slow call waits for a person
}

func (m *memoryKeyring) reachable() error { return nil }
func (m *memoryKeyring) locked() bool     { return false }
func (m *memoryKeyring) asking() bool     { return m.prompts }

func (m *memoryKeyring) get(account string) (string, error) {
	if m.hang != nil {
		<-m.hang
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok := m.items[account]
	if !ok {
		return "", keyring.ErrNotFound
	}
	return value, nil
}

func (m *memoryKeyring) set(account, value string) error {
	if m.limit > 0 && len(value) > m.limit {
		return keyring.ErrSetDataTooBig
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.items[account] = value
	return nil
}

func (m *memoryKeyring) delete(account string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.items, account)
	return nil
}

func inMemory(dataDir string, m *memoryKeyring) *Store {
	k := &keyringItems{dataDir: dataDir, notify: func(string) {}, os: m, slow: time.Second, wait: time.Minute, unlock: time.Minute}
	return &Store{items: k, key: sealKeyFile(dataDir)}
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
				if err := s.Set(ctx, work, record); err != nil {
					t.Fatal(err)
				}
				if got, err := s.Get(ctx, work); err != nil || !bytes.Equal(got, record) {
					t.Errorf("Get() = %d bytes, %v", len(got), err)
				}
			}
			edited := work
			edited.Issuer = "https://evil.example"
			if _, err := s.Get(ctx, edited); !errors.Is(err, seal.ErrWrongContext) {
				t.Errorf("F48 an edited profile: %v", err)
			}
			if err := s.Probe(ctx); err != nil {
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
		if err := s.Set(t.Context(), c, []byte(c.Profile)); err != nil {
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
	if err := inFiles(dir, fixedKey(seal.NewKey())).Set(t.Context(), work, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := inFiles(dir, fixedKey(seal.NewKey())).Get(t.Context(), work); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("F49: %v", err)
	}
}

func TestE42HungKeyring(t *testing.T) {
	dir := t.TempDir()
	m := &memoryKeyring{items: map[string]string{}}
	if err := inMemory(dir, m).Set(t.Context(), work, nil); err != nil {
		t.Fatal(err)
	}
	m.hang = make(chan struct{})
	defer close(m.hang)
	s := inMemory(dir, m)
	k := s.items.(*keyringItems)
	k.slow, k.wait = time.Millisecond, 20*time.Millisecond
	if _, err := s.Get(t.Context(), work); !errors.Is(err, ErrTimeout) {
		t.Errorf("E42: %v", err)
	}
	if err := s.Set(t.Context(), work, nil); !errors.Is(err, ErrTimeout) {
		t.Errorf("E42 a second call: %v", err)
	}
	m.prompts = true
	s = inMemory(dir, m)
	k = s.items.(*keyringItems)
	told := 0
	k.notify = func(string) { told++ }
	k.slow, k.wait, k.unlock = time.Millisecond, time.Minute, 30*time.Millisecond
	if _, err := s.Get(t.Context(), work); !errors.Is(err, ErrLocked) || told != 1 {
		t.Errorf("E42 while a person may be asked: %v, told %d times", err, told)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s = inMemory(dir, m)
	if _, err := s.Get(ctx, work); !errors.Is(err, context.Canceled) {
		t.Errorf("Ctrl-C while the keyring hangs: %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	m := &memoryKeyring{items: map[string]string{}, limit: 500}
	s := inMemory(t.TempDir(), m)
	if err := s.Set(t.Context(), work, []byte("old")); err != nil {
		t.Fatal(err)
	}
	if err := s.Set(t.Context(), work, make([]byte, 500)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Set() = %v", err)
	}
	if got, err := s.Get(t.Context(), work); err != nil || string(got) != "old" {
		t.Errorf("the old record is %q, %v", got, err)
	}
}

func TestE46FirstRunRace(t *testing.T) {
	dir := t.TempDir()
	m := &memoryKeyring{items: map[string]string{}}
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if err := inMemory(dir, m).Set(t.Context(), work, []byte("x")); err != nil && !errors.Is(err, ErrNotWritten) {
				t.Errorf("E46: %v", err)
			}
		})
	}
	wg.Wait()
	if got, err := inMemory(dir, m).Get(t.Context(), work); err != nil || string(got) != "x" {
		t.Errorf("E46: %q, %v", got, err)
	}
	if len(m.items) != 1 {
		t.Errorf("E46: %d items", len(m.items))
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("E46: %v in the data folder, %v", entries, err)
	}
}

func TestEnvKey(t *testing.T) {
	key := seal.NewKey()
	raw := key.Bytes()
	for _, text := range []string{
		hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)), " " + hex.EncodeToString(raw) + "\n",
		base64.StdEncoding.EncodeToString(raw), base64.URLEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw),
	} {
		if got, err := EnvKey("FOB_SEAL_KEY", text)(t.Context(), false); err != nil || got.ID() != key.ID() {
			t.Errorf("%d characters: %v", len(text), err)
		}
	}
	for _, text := range []string{"", "short", strings.Repeat("a", 63), strings.Repeat("z", 64), "correct horse battery staple"} {
		var keyErr *KeyError
		if _, err := EnvKey("FOB_SEAL_KEY", text)(t.Context(), false); !errors.As(err, &keyErr) || text != "" && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// asker answers with one passphrase and counts.
type asker struct {
	passphrase string
	asked, new int
}

func (a *asker) ask(_ context.Context, confirm bool) (secret.Secret, error) {
	a.asked++
	if confirm {
		a.new++
	}
	return secret.New(a.passphrase), nil
}

func TestPassphrase(t *testing.T) {
	dir := t.TempDir()
	right := &asker{passphrase: "correct horse"}
	if _, err := Passphrase(PassphraseOptions{dir, right.ask})(t.Context(), false); !errors.Is(err, seal.ErrWrongKey) || right.asked != 0 {
		t.Errorf("before the first use: %v, asked %d times", err, right.asked)
	}
	s := inFiles(dir, Passphrase(PassphraseOptions{dir, right.ask}))
	if err := s.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Set(t.Context(), work, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if right.asked != 1 || right.new != 1 {
		t.Errorf("asked %d times, %d for a new one", right.asked, right.new)
	}
	again := inFiles(dir, Passphrase(PassphraseOptions{dir, right.ask}))
	if got, err := again.Get(t.Context(), work); err != nil || string(got) != "x" || right.new != 1 {
		t.Errorf("Get() = %q, %v", got, err)
	}
	wrong := &asker{passphrase: "correct house"}
	if _, err := inFiles(dir, Passphrase(PassphraseOptions{dir, wrong.ask})).Get(t.Context(), work); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("F49 a wrong passphrase: %v", err)
	}
	if err := inFiles(dir, Passphrase(PassphraseOptions{dir, wrong.ask})).Set(t.Context(), work, nil); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("writing under a wrong passphrase: %v", err)
	}
	empty := &asker{}
	if _, err := Passphrase(PassphraseOptions{t.TempDir(), empty.ask})(t.Context(), true); err == nil {
		t.Error("an empty passphrase is accepted")
	}
}

func TestChangedParametersAreBounded(t *testing.T) {
	for name, text := range map[string]string{
		"huge memory": `{"kdf":"argon2id","salt":"AAAAAAAAAAAAAAAAAAAAAA==","time":3,"memory_kib":4194304,"threads":4,"key_id":"00"}`,
		"huge time":   `{"kdf":"argon2id","salt":"AAAAAAAAAAAAAAAAAAAAAA==","time":4000000000,"memory_kib":65536,"threads":4,"key_id":"00"}`,
		"no work":     `{"kdf":"argon2id","salt":"AAAAAAAAAAAAAAAAAAAAAA==","time":1,"memory_kib":8,"threads":1,"key_id":"00"}`,
		"no threads":  `{"kdf":"argon2id","salt":"AAAAAAAAAAAAAAAAAAAAAA==","time":3,"memory_kib":65536,"threads":0,"key_id":"00"}`,
		"no salt":     `{"kdf":"argon2id","salt":"","time":3,"memory_kib":65536,"threads":4,"key_id":"00"}`,
		"other kdf":   `{"kdf":"md5","salt":"AAAAAAAAAAAAAAAAAAAAAA==","time":3,"memory_kib":65536,"threads":4,"key_id":"00"}`,
		"no JSON":     `salt`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "seal.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		a := &asker{passphrase: "x"}
		if _, err := Passphrase(PassphraseOptions{dir, a.ask})(t.Context(), true); !errors.Is(err, ErrCorrupt) || a.asked != 0 {
			t.Errorf("%s: %v, asked %d times", name, err, a.asked)
		}
	}
}
