//go:build unix

package postgres_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/registry/postgres"
	"github.com/fobcli/fob/internal/apikey/registry/registrytest"
)

var server *registrytest.Postgres

func TestMain(m *testing.M) {
	var err error
	server, err = registrytest.StartPostgres()
	if errors.Is(err, exec.ErrNotFound) && os.Getenv("CI") == "" {
		fmt.Println("left out:", err)
		os.Exit(0)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	status := m.Run()
	server.Stop()
	os.Exit(status)
}

func TestRegistry(t *testing.T) {
	registrytest.Run(t, registrytest.Driver{
		New: newDatabase,
		Open: func(ctx context.Context, dsn string, mode apikey.Mode) (apikey.Registry, error) {
			return postgres.Open(ctx, dsn, mode)
		},
		DB: func(t *testing.T, dsn string) *sql.DB {
			db, err := sql.Open("pgx", dsn)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { db.Close() })
			return db
		},
		Explain:    "EXPLAIN ",
		Analyze:    "ANALYZE",
		KeysIndex:  "api_key_pkey",
		ModelSteps: 500,
	})
}

// A damaged page of any table is found.
func TestCheck_DamagedPage(t *testing.T) {
	own, err := registrytest.StartPostgres()
	if err != nil {
		t.Fatal(err)
	}
	defer own.Stop()
	pages, registries := make(map[string]string), make(map[string]string)
	for _, table := range []string{"api_key", "key_use", "rotation", "revocation", "audit_log"} {
		dsn, err := own.NewDatabase()
		if err != nil {
			t.Fatal(err)
		}
		registries[table], pages[table] = dsn, fill(t, dsn, table)
	}
	own.Kill()
	for _, path := range pages {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(bytes.Repeat([]byte{0xa5}, 8192)); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	if err := own.Start(); err != nil {
		t.Fatal(err)
	}
	for table, dsn := range registries {
		registry, err := postgres.Open(t.Context(), dsn, apikey.ModeUse)
		if err != nil {
			t.Fatal(err)
		}
		if err := registry.Check(t.Context()); !errors.Is(err, apikey.ErrDamaged) {
			t.Errorf("%s: %v", table, err)
		}
		registry.Close()
	}
}

// fill makes a registry with a row in every table, and returns the file of one table.
func fill(t *testing.T, dsn, table string) (file string) {
	t.Helper()
	registry, err := postgres.Open(t.Context(), dsn, apikey.ModeCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer registry.Close()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range []string{
		"INSERT INTO api_key SELECT '1AAAAAAAAAAA', decode(repeat('00', 32), 'hex'), '', 'x', 'live', '', '', '', '', 0, 0, FALSE, 0, 0, '', 1",
		"INSERT INTO key_use VALUES ('1AAAAAAAAAAA', 1, 1)", "INSERT INTO revocation VALUES ('1AAAAAAAAAAA', 1, 1)",
		"INSERT INTO rotation VALUES ('1AAAAAAAAAAA', '1AAAAAAAAAAA', 'retired', FALSE, 1, 0, 0, '[]')",
		"INSERT INTO audit_log VALUES (1, 0, '', '', '', '', '', '')", "CHECKPOINT",
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	var folder string
	if err := db.QueryRow("SELECT current_setting('data_directory'), pg_relation_filepath($1)", table).Scan(&folder, &file); err != nil {
		t.Fatal(err)
	}
	if err := registry.Check(t.Context()); err != nil {
		t.Fatal(table, err)
	}
	return filepath.Join(folder, file)
}

func newDatabase(t *testing.T) string {
	dsn, err := server.NewDatabase()
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}
