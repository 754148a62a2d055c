//go:build unix

package session

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/authservertest"
)

func TestF50UnsafeCache(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	path := f.cache(Target{}).path
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Token(t.Context(), TokenOptions{}); !errors.Is(err, atomicfile.ErrUnsafe) {
		t.Errorf("F50 a cache that others can read: %v", err)
	}
	if err := errors.Join(os.Remove(path), os.Symlink(filepath.Join(t.TempDir(), "elsewhere"), path)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Token(t.Context(), TokenOptions{}); !errors.Is(err, atomicfile.ErrUnsafe) {
		t.Errorf("F50 a link in the cache's place: %v", err)
	}
}
