//go:build unix

package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestF50UnsafeFilesAreRefused(t *testing.T) {
	for name, plant := range map[string]func(path string) error{
		"symbolic link": func(path string) error {
			target := path + ".target"
			return errors.Join(os.WriteFile(target, []byte("x"), 0o600), os.Symlink(target, path))
		},
		"dangling link": func(path string) error { return os.Symlink(path+".nowhere", path) },
		"mode 0644":     func(path string) error { return os.WriteFile(path, []byte("x"), 0o644) },
		"mode 0620":     func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, 0o620)) },
		"folder":        func(path string) error { return os.Mkdir(path, 0o700) },
		"pipe":          func(path string) error { return unix.Mkfifo(path, 0o600) },
		"device":        func(path string) error { return os.Symlink("/dev/zero", path) },
	} {
		t.Run("F50 "+name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			if err := plant(path); err != nil {
				t.Fatal(err)
			}
			if data, err := Read(path, 100); !errors.Is(err, ErrUnsafe) {
				t.Errorf("Read() = %q, %v", data, err)
			}
		})
	}
}

func TestF50ForeignOwner(t *testing.T) {
	path := "/etc/passwd" // is root's: foreign to everybody else
	if os.Geteuid() == 0 {
		path = filepath.Join(t.TempDir(), "f")
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chown(path, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Read(path, 1<<20); !errors.Is(err, ErrUnsafe) {
		t.Errorf("Read() = %v", err)
	}
}

func TestF50UnsafeFolders(t *testing.T) {
	for name, plant := range map[string]func(dir string) error{
		"symbolic link":   func(dir string) error { return os.Symlink(t.TempDir(), dir) },
		"group can write": func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o770)) },
		"all can write":   func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777)) },
	} {
		t.Run("F50 "+name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			if err := plant(dir); err != nil {
				t.Fatal(err)
			}
			if err := MkdirPrivate(dir); !errors.Is(err, ErrUnsafe) {
				t.Errorf("MkdirPrivate() = %v", err)
			}
		})
	}
}

// A link at the place of a private file is replaced, never written through.
func TestF50WriteDoesNotFollowALink(t *testing.T) {
	dir := t.TempDir()
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, "f")
	if err := errors.Join(os.WriteFile(victim, []byte("mine"), 0o600), os.Symlink(victim, path)); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(victim); string(got) != "mine" {
		t.Errorf("the link's target now holds %q", got)
	}
	if got, err := Read(path, 100); err != nil || string(got) != "secret" {
		t.Errorf("Read() = %q, %v", got, err)
	}
}

func TestF51FullDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := Write(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	// A file size limit is the full disk that one process can have to itself.
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limit := before
	limit.Cur = 4096
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	err := Write(path, make([]byte, 1<<20))
	if restoreErr := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); restoreErr != nil {
		t.Fatal(restoreErr)
	}
	if err == nil {
		t.Fatal("writing over the limit succeeded")
	}
	if got, err := Read(path, 100); err != nil || string(got) != "old" {
		t.Errorf("the old file is %q, %v", got, err)
	}
	onlyFile(t, dir, "f")
}
