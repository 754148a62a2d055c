//go:build unix

package credstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/seal"
)

func TestSealKeyIsGone(t *testing.T) {
	dir := t.TempDir()
	s := inMemory(dir, &memoryKeyring{items: map[string]string{}})
	if err := s.Set(t.Context(), work, nil); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "seal.key")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), work); !errors.Is(err, atomicfile.ErrUnsafe) {
		t.Errorf("F50 a key that others can read: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), work); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("a key that is gone: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("reading has made a new key")
	}
}

func TestKeyFile(t *testing.T) {
	data, elsewhere := t.TempDir(), t.TempDir()
	good := filepath.Join(elsewhere, "fob.key")
	if err := MakeKeyFile(good, data); err != nil {
		t.Fatal(err)
	}
	first, err := KeyFile(good, data)(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := MakeKeyFile(good, data); err != nil {
		t.Fatal(err)
	}
	if again, err := KeyFile(good, data)(t.Context(), false); err != nil || again.ID() != first.ID() {
		t.Errorf("a key file that was there is another one now: %v", err)
	}
	raw := filepath.Join(elsewhere, "raw.key")
	if err := os.WriteFile(raw, first.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := KeyFile(raw, data)(t.Context(), false); err != nil || got.ID() != first.ID() {
		t.Errorf("a raw key: %v", err)
	}

	inside := filepath.Join(data, "fob.key")
	if err := os.WriteFile(inside, first.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(elsewhere, "link.key")
	if err := os.Symlink(inside, link); err != nil {
		t.Fatal(err)
	}
	loose := filepath.Join(elsewhere, "loose.key")
	if err := os.WriteFile(loose, first.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(elsewhere, "text.key")
	if err := os.WriteFile(text, []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"inside DATA": inside, "a link into DATA": link, "loose": loose, "no key": text, "missing": filepath.Join(elsewhere, "none"),
	} {
		if _, err := KeyFile(path, data)(t.Context(), false); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, path := range map[string]string{"inside DATA": filepath.Join(data, "new.key"), "relative": "new.key"} {
		if err := MakeKeyFile(path, data); err == nil {
			t.Errorf("making one %s: accepted", name)
		}
	}
}
