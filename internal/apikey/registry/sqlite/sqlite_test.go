package sqlite_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/registry/registrytest"
	"github.com/fobcli/fob/internal/apikey/registry/sqlite"
)

func TestRegistry(t *testing.T) {
	registrytest.Run(t, registrytest.Driver{
		New: func(t *testing.T) string { return filepath.Join(t.TempDir(), "data", "registry.db") },
		Open: func(ctx context.Context, path string, mode apikey.Mode) (apikey.Registry, error) {
			return sqlite.Open(ctx, path, mode)
		},
		DB: func(t *testing.T, path string) *sql.DB {
			db, err := sql.Open("sqlite3", path)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			return db
		},
		Explain:    "EXPLAIN QUERY PLAN ",
		KeysIndex:  "sqlite_autoindex_api_key_1",
		ModelSteps: 1600,
	})
}
