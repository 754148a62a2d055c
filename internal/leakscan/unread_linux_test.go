package leakscan

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// A folder that another user closed. The test may be root, who can read everything: the
// thread gives up its rights.
func TestWalk_ReportsAClosedFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/closed/a", "x")
	write(t, dir+"/open/a", "x")
	for path := dir; len(path) > len(os.TempDir()); path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(dir+"/open", 0o755), os.Chmod(dir+"/open/a", 0o644), os.Chmod(dir+"/closed", 0)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(dir+"/closed", 0o700) })
	found := make(chan candidate, 10)
	ended := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		if os.Geteuid() == 0 {
			_ = syscall.Setfsuid(65534)
		}
		ended <- walk(t.Context(), dir+"/", found)
	}()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	close(found)
	denied, listed := 0, 0
	for c := range found {
		if errors.Is(c.err, fs.ErrPermission) && c.path == dir+"/closed" {
			denied++
		} else if c.err == nil {
			listed++
		}
	}
	if denied != 1 || listed != 1 {
		t.Errorf("%d denied, %d listed", denied, listed)
	}
}
