package destination

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fobcli/fob/internal/secret"
)

// Who can write to the folder, and puts a link in the file's place for a moment, must not get
// what another file contains: it would be written to a file of that person's owner and mode.
func TestF50_SwappedDotenvGetsNoOtherFilesContent(t *testing.T) {
	m := machine(t)
	root, victim := m.DotenvRoots[0], filepath.Join(t.TempDir(), "victim")
	path, link := filepath.Join(root, ".env"), filepath.Join(root, "link")
	if err := errors.Join(os.WriteFile(victim, []byte("VICTIM=1\n"), 0o600), os.WriteFile(path, []byte("B=1\n"), 0o644), os.Symlink(victim, link)); err != nil {
		t.Fatal(err)
	}
	d, err := Parse("dotenv:"+path+"#A", m)
	if err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE)
			}
		}
	}()
	delivered, refused := 0, 0
	for try := 0; try < 200 || (delivered == 0 || refused == 0) && try < 100_000; try++ {
		if err := d.Deliver(t.Context(), secret.New("v")); err != nil {
			refused++
			continue
		}
		delivered++
	}
	close(stop)
	<-stopped
	if delivered == 0 || refused == 0 {
		t.Errorf("%d deliveries, %d refused", delivered, refused)
	}
	for _, name := range []string{path, link} {
		if info, err := os.Lstat(name); err != nil || !info.Mode().IsRegular() {
			continue
		}
		if text, err := os.ReadFile(name); err != nil || strings.Contains(string(text), "VICTIM") {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}
