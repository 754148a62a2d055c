package credstore

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/secret"
)

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
	if _, err := Passphrase(PassphraseOptions{dir, right.ask})(t.Context(), false); !errors.Is(err, ErrNoKey) || right.asked != 0 {
		t.Errorf("before the first use: %v, asked %d times", err, right.asked)
	}
	s := inFiles(dir, Passphrase(PassphraseOptions{dir, right.ask}))
	if err := s.Probe(t.Context(), 8); err != nil {
		t.Fatal(err)
	}
	if err := s.Set(t.Context(), work, Record{Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if right.asked != 1 || right.new != 1 {
		t.Errorf("asked %d times, %d for a new one", right.asked, right.new)
	}
	again := inFiles(dir, Passphrase(PassphraseOptions{dir, right.ask}))
	if got, err := again.Get(t.Context(), work); err != nil || string(got.Body) != "x" || right.new != 1 {
		t.Errorf("Get() = %q, %v", got, err)
	}
	wrong := &asker{passphrase: "correct house"}
	if _, err := inFiles(dir, Passphrase(PassphraseOptions{dir, wrong.ask})).Get(t.Context(), work); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("F49 a wrong passphrase: %v", err)
	}
	if err := inFiles(dir, Passphrase(PassphraseOptions{dir, wrong.ask})).Set(t.Context(), work, Record{}); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("writing under a wrong passphrase: %v", err)
	}
	empty := &asker{}
	if _, err := Passphrase(PassphraseOptions{t.TempDir(), empty.ask})(t.Context(), true); err == nil {
		t.Error("an empty passphrase is accepted")
	}
}

func TestE46PassphraseRace(t *testing.T) {
	dir := t.TempDir()
	ids := make(chan string, 8)
	var wg sync.WaitGroup
	for range cap(ids) {
		wg.Go(func() {
			a := &asker{passphrase: "correct horse"}
			key, err := Passphrase(PassphraseOptions{dir, a.ask})(t.Context(), true)
			if err != nil {
				t.Errorf("E46: %v", err)
			}
			ids <- keyID(key)
		})
	}
	wg.Wait()
	first := <-ids
	for range cap(ids) - 1 {
		if id := <-ids; id != first {
			t.Error("E46: two keys from one passphrase")
		}
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
		if _, err := Passphrase(PassphraseOptions{dir, a.ask})(t.Context(), true); !errors.Is(err, ErrKeyDamaged) || a.asked != 0 {
			t.Errorf("%s: %v, asked %d times", name, err, a.asked)
		}
	}
}

// If several records are used at a time, the passphrase is asked for once, and the keyring
// gets one call after the other.
func TestStore_UsedConcurrently(t *testing.T) {
	dir := t.TempDir()
	right := &asker{passphrase: "correct horse"}
	if err := inFiles(dir, Passphrase(PassphraseOptions{dir, right.ask})).Set(t.Context(), work, Record{Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*Store{
		"files":   inFiles(dir, Passphrase(PassphraseOptions{dir, right.ask})),
		"keyring": inMemory(t.TempDir(), &memoryKeyring{items: map[string]string{}}),
	} {
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				c := seal.Context{Kind: "login", Profile: fmt.Sprintf("p%d", i)}
				err := s.Set(t.Context(), c, Record{Body: []byte(c.Profile)})
				if got, getErr := s.Get(t.Context(), c); err != nil || getErr != nil || string(got.Body) != c.Profile {
					t.Errorf("%s: %q, %v, %v", name, got.Body, err, getErr)
				}
			})
		}
		all.Wait()
	}
	if right.asked != 2 || right.new != 1 {
		t.Errorf("asked %d times, %d for a new one", right.asked, right.new)
	}
}
