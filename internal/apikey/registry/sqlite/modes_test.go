//go:build unix

package sqlite_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/registry/sqlite"
)

// The log contains records of keys, and a user who can read the index can lock it.
func TestOpen_LogAndIndexArePrivate(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	path := filepath.Join(t.TempDir(), "data", "registry.db")
	for range 2 { // a new registry, and an old one
		registryWith(t, path)
		registry, err := sqlite.Open(t.Context(), path, apikey.ModeUse)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := registry.ID(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, suffix := range []string{"", "-wal", "-shm"} {
			info, err := os.Stat(path + suffix)
			if err != nil || info.Mode() != 0o600 {
				t.Errorf("%s: %v, %v", suffix, info.Mode(), err)
			}
		}
		registry.Close()
		if left, err := filepath.Glob(path + "-*"); err != nil || len(left) != 0 {
			t.Error("left behind:", left, err)
		}
	}
}
