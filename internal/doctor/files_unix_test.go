//go:build unix

package doctor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestF50UnsafeFolders(t *testing.T) {
	for name, test := range map[string]struct {
		plant func(dir string) error
		want  State
		seen  string
	}{
		"private":            {func(string) error { return nil }, OK, "private, 3 entries"},
		"loose folder":       {func(dir string) error { return os.Chmod(dir, 0o755) }, Problem, "mode 0755"},
		"loose inner folder": {func(dir string) error { return os.Chmod(filepath.Join(dir, "locks"), 0o770) }, Problem, "mode 0770"},
		"loose lock":         {func(dir string) error { return os.Chmod(filepath.Join(dir, "locks/a"), 0o644) }, Problem, "mode 0644"},
		"two of them": {func(dir string) error {
			return errors.Join(os.Chmod(filepath.Join(dir, "locks"), 0o777), os.Chmod(filepath.Join(dir, "locks/a"), 0o666))
		}, Problem, "and 1 more"},
		"link":         {func(dir string) error { return os.Symlink("/etc/passwd", filepath.Join(dir, "seal.key")) }, Problem, "seal.key is not a regular file"},
		"pipe":         {func(dir string) error { return unix.Mkfifo(filepath.Join(dir, "seal.key"), 0o600) }, Problem, "not a regular file"},
		"hostile name": {func(dir string) error { return os.WriteFile(filepath.Join(dir, "\x1b[31m\u202e\n"), nil, 0o644) }, Problem, "open to others"},
	} {
		dir := filepath.Join(t.TempDir(), "it's data")
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "locks"), 0o700), os.WriteFile(filepath.Join(dir, "locks/a"), nil, 0o600), test.plant(dir)); err != nil {
			t.Fatal(err)
		}
		f := Folder("data folder", dir)
		check(t, "F50 "+name, f, test.want, test.seen)
		if f.Fix != "" && !strings.Contains(f.Fix, `it'\''s data'`) {
			t.Errorf("F50 %s: the path in the command is not quoted: %s", name, f.Fix)
		}
	}
	link := filepath.Join(t.TempDir(), "data")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	check(t, "F50 a link for the folder", Folder("data folder", link), Problem, "unsafe")
}

func TestCAFileThatIsAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	check(t, "pipe", CAFile(path, time.Now(), "use another"), Problem, "not a regular file")
}
