//go:build unix

package sqlite_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/registry/sqlite"
	"github.com/fobcli/fob/internal/atomicfile"
)

// registryWith makes a registry with one key in it.
func registryWith(t *testing.T, path string) (id string) {
	t.Helper()
	registry, err := sqlite.Open(t.Context(), path, apikey.ModeCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	minted, err := apikey.Mint("fob", "live")
	if err != nil {
		t.Fatal(err)
	}
	record := apikey.Record{ID: minted.ID, Digest: minted.Digest, Owner: "x", Environment: "live"}
	err = registry.Change(t.Context(), func(tx apikey.Tx) error {
		_, err := tx.Insert(apikey.Event{Action: apikey.ActionCreate}, []apikey.Record{record})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return minted.ID
}

// wholeLog is a write-ahead log that makes any database into the one at path.
func wholeLog(t *testing.T, path string) []byte {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path+"?_pragma=wal_autocheckpoint(0)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("VACUUM"); err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// Another user who can write to the folder must not put keys into the registry by
// putting a log beside it.
func TestF50PlantedLog(t *testing.T) {
	own := filepath.Join(t.TempDir(), "registry.db")
	registryWith(t, own)
	foreign := filepath.Join(t.TempDir(), "registry.db")
	id := registryWith(t, foreign)
	if err := os.Chmod(filepath.Dir(own), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(own+"-wal", wholeLog(t, foreign), 0o600); err != nil {
		t.Fatal(err)
	}
	registry, err := sqlite.Open(t.Context(), own, apikey.ModeUse)
	if err == nil {
		defer registry.Close()
		if _, err := registry.Key(t.Context(), id); err == nil {
			t.Error("a key of the planted log is the registry's")
		}
	}
	if !errors.Is(err, atomicfile.ErrUnsafe) {
		t.Error("a folder that others can write to:", err)
	}
}

// What is checked is what is opened: SQLite takes two slashes for a host's name, and a
// question mark for its own settings.
func TestF50NamesAreNoURIs(t *testing.T) {
	for _, name := range []string{"registry.db", "a?mode=memory", "a?immutable=1#x", "%2e%2e", "a%00b", "file:x", "a b&c"} {
		path := filepath.Join(t.TempDir(), name)
		id := registryWith(t, path)
		registry, err := sqlite.Open(t.Context(), "/"+path, apikey.ModeUse)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if _, err := registry.Key(t.Context(), id); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		registry.Close()
	}
}
