//go:build unix

package credstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/seal"
)

func TestSealKeyIsGone(t *testing.T) {
	dir := t.TempDir()
	s := inMemory(dir, &memoryKeyring{items: map[string]string{}})
	if err := s.Set(t.Context(), work, Record{}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "seal.key")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), work); !errors.Is(err, ErrKeyMissing) {
		t.Errorf("a key that is gone: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("reading has made a new key")
	}
}

// TestF50UnsafeFiles makes each file of the package a link, loose and, where the
// test may, another user's.
func TestF50UnsafeFiles(t *testing.T) {
	for _, file := range []string{"id", "seal.key", "records/login/work", "seal.json", "locks/seal.lock", "fob.key"} {
		for name, spoil := range map[string]func(path string) error{
			"symlinked": func(path string) error {
				if err := os.Rename(path, path+".real"); err != nil {
					return err
				}
				return os.Symlink(path+".real", path)
			},
			"loose":         func(path string) error { return os.Chmod(path, 0o644) },
			"foreign-owned": func(path string) error { return os.Lchown(path, 65534, 65534) },
		} {
			if name == "foreign-owned" && os.Geteuid() != 0 || name == "symlinked" && file == "fob.key" {
				continue // nobody but root can give a file away; a user may link to a key
			}
			t.Run(name+" "+file, func(t *testing.T) {
				s, path := storeWith(t, file)
				if err := spoil(path); err != nil {
					t.Fatal(err)
				}
				if got, err := s.Get(t.Context(), work); !errors.Is(err, atomicfile.ErrUnsafe) {
					t.Errorf("F50: Get() = %q, %v", got, err)
				}
			})
		}
	}
}

// storeWith is a store that holds a record and reads the file of that name.
func storeWith(t *testing.T, file string) (*Store, string) {
	t.Helper()
	data := t.TempDir()
	path := filepath.Join(data, file)
	var open func() *Store
	switch filepath.Base(file) {
	case "id", "seal.key":
		m := &memoryKeyring{items: map[string]string{}}
		open = func() *Store { return inMemory(data, m) }
	case "fob.key":
		path = filepath.Join(t.TempDir(), file)
		if err := MakeKeyFile(path, data); err != nil {
			t.Fatal(err)
		}
		open = func() *Store { return inFiles(data, KeyFile(path, data)) }
	case "work":
		key := fixedKey(seal.NewKey())
		open = func() *Store { return inFiles(data, key) }
	default:
		a := &asker{passphrase: "correct horse"}
		open = func() *Store { return inFiles(data, Passphrase(PassphraseOptions{data, a.ask})) }
	}
	if err := open().Set(t.Context(), work, Record{Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	if got, err := open().Get(t.Context(), work); err != nil || string(got.Body) != "x" {
		t.Fatalf("before: %q, %v", got, err)
	}
	return open(), path
}

func TestDiskThatTakesNothing(t *testing.T) {
	data := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(data, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*Store{
		"keyring": inMemory(data, &memoryKeyring{items: map[string]string{}}),
		"file":    inFiles(data, fixedKey(seal.NewKey())),
	} {
		if err := s.Set(t.Context(), work, Record{}); !errors.Is(err, ErrNotWritten) && !errors.Is(err, ErrUnusable) {
			t.Errorf("%s: Set() = %v", name, err)
		}
		if _, err := s.Get(t.Context(), work); !errors.Is(err, ErrUnusable) {
			t.Errorf("%s: Get() = %v", name, err)
		}
		if err := s.Delete(t.Context(), work); !errors.Is(err, ErrUnusable) {
			t.Errorf("%s: Delete() = %v", name, err)
		}
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
	text := filepath.Join(elsewhere, "text.key")
	if err := os.WriteFile(text, []byte("not a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(elsewhere, "folder")
	if err := os.Symlink(data, folder); err != nil {
		t.Fatal(err)
	}
	t.Chdir(data)
	var keyErr *KeyError
	for name, path := range map[string]string{
		"inside DATA": inside, "inside DATA by a relative path": "fob.key",
		"a link into DATA": link, "through a linked folder": filepath.Join(folder, "fob.key"), "no key": text,
	} {
		if _, err := KeyFile(path, data)(t.Context(), false); !errors.As(err, &keyErr) {
			t.Errorf("%s: %v", name, err)
		}
	}
	missing := KeyFile(filepath.Join(elsewhere, "none"), data)
	if _, err := missing(t.Context(), true); !errors.As(err, &keyErr) || !strings.Contains(err.Error(), "head -c 32 /dev/urandom") {
		t.Errorf("missing before the first use: %v", err)
	}
	if _, err := missing(t.Context(), false); !errors.Is(err, ErrKeyMissing) {
		t.Errorf("missing: %v", err)
	}
	for name, path := range map[string]string{
		"inside DATA": filepath.Join(data, "new.key"), "relative": "new.key",
		"through a linked folder": filepath.Join(folder, "new.key"), "in DATA's folder to be": filepath.Join(folder, "new", "new.key"),
	} {
		if err := MakeKeyFile(path, data); err == nil {
			t.Errorf("making one %s: accepted", name)
		}
	}
}
