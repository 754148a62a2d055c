//go:build unix

package leakscan

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestWhatIsNoFileIsNotWaitedFor(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(dir+"/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	s := scanner(t, "acme")
	if _, err := s.scanFile(t.Context(), &collector{}, dir+"/pipe", nil); !errors.Is(err, ErrNoFile) { // a file when it was listed
		t.Errorf("a pipe: %v", err)
	}
	for _, path := range []string{dir + "/pipe", "/dev/zero"} {
		if _, err := s.Files(t.Context(), []string{path}, nil); !errors.Is(err, ErrNoFile) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if result, err := s.Files(t.Context(), []string{dir}, nil); err != nil || result.Files != 0 || len(result.Unread) != 0 {
		t.Errorf("%+v, %v", result, err)
	}
}

// Whoever gives a folder to scan has made its .git, too: nothing there is waited for, and
// nothing fills the memory.
func TestH62_ObjectsThatAreNoFiles(t *testing.T) {
	for name, plant := range map[string]func(path string) error{
		"a pipe":         func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"an endless one": func(path string) error { return os.Symlink("/dev/zero", path) },
	} {
		for _, of := range []string{"pack/*.pack", "pack/*.idx", "??/*"} {
			r := growing(t, 4)
			if strings.HasPrefix(of, "pack") {
				r.git("repack", "-q", "-a", "-d")
			}
			paths, err := filepath.Glob(r.dir + "/.git/objects/" + of)
			if err != nil || len(paths) == 0 {
				t.Fatal(paths, err)
			}
			if err := errors.Join(os.Remove(paths[0]), plant(paths[0])); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if _, err := scanner(t, "acme").History(ctx, r.dir, nil); !errors.Is(err, ErrGit) || !errors.Is(err, ErrNoFile) {
				t.Errorf("%s in the place of %s: %v", name, of, err)
			}
		}
	}
}

func TestWhatCannotBeReadIsTold(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/open", key(t, "acme"))
	roots, closed := []string{dir}, "closed"
	if os.Geteuid() == 0 { // who reads everything, but not where no memory is
		closed = "/proc/self/mem"
		roots = append(roots, closed)
	} else {
		write(t, dir+"/closed/a", key(t, "acme"))
		if err := os.Chmod(dir+"/closed", 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(dir+"/closed", 0o700) })
	}
	result, err := scanner(t, "acme").Files(t.Context(), roots, nil)
	if err != nil || len(result.Findings) != 1 || len(result.Unread) != 1 || !strings.Contains(result.Unread[0].Path, closed) {
		t.Errorf("%+v, %v", result, err)
	}
}
