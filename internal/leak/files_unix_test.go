//go:build unix

package leak

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestWhatIsNoFileIsNotWaitedFor(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(dir+"/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	s := scanner(t, "acme")
	if _, _, _, err := s.scanFile(t.Context(), dir+"/pipe", nil); !errors.Is(err, ErrNoFile) { // a file when it was listed
		t.Errorf("a pipe: %v", err)
	}
	for _, path := range []string{dir + "/pipe", "/dev/zero"} {
		if _, err := s.Files(t.Context(), []string{path}, nil); !errors.Is(err, ErrNoFile) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if result, err := s.Files(t.Context(), []string{dir}, nil); err != nil || result.Files != 0 || len(result.Skipped) != 0 {
		t.Errorf("%+v, %v", result, err)
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
	if err != nil || len(result.Findings) != 1 || len(result.Skipped) != 1 || !strings.Contains(result.Skipped[0], closed) {
		t.Errorf("%+v, %v", result, err)
	}
}
