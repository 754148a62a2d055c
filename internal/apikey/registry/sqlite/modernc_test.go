//go:build unix

package sqlite_test

import (
	"compress/gzip"
	"io"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/registry/sqlite"
)

// A registry of fob 0.x, which used modernc.org/sqlite: fob was killed after it had revoked
// the second key, and the last key is only in the log.
func TestOpen_FileOfAnotherDriver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "registry.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal"} {
		unzip(t, "testdata/modernc.db"+suffix+".gz", path+suffix)
	}
	registry, err := sqlite.Open(t.Context(), path, apikey.ModeUse)
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	owners := make(map[string]string)
	for r, err := range registry.Keys(t.Context(), apikey.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if owners[r.ID] = r.Owner; !r.RevokedAt.IsZero() {
			owners[r.ID] += ", revoked"
		}
	}
	if !maps.Equal(owners, map[string]string{
		"19aA8HZmf2rU": "billing", "1SUHqiVMGb9I": "web, revoked", "1szKkY2dZAsC": "billing", "1Iufn8PKSpsx": "late", "1PpHyQD8zwBa": "late",
	}) {
		t.Error(owners)
	}
	if err := registry.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if id := registryWith(t, path); id == "" {
		t.Error("no key was added")
	}
}

func unzip(t *testing.T, from, to string) {
	t.Helper()
	file, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	contents, err := io.ReadAll(zipped)
	if err == nil {
		err = os.WriteFile(to, contents, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
