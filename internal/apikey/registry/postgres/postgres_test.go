//go:build unix

package postgres_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
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
		Open: func(ctx context.Context, dsn string, create bool) (apikey.Registry, error) {
			return postgres.Open(ctx, dsn, create)
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

func newDatabase(t *testing.T) string {
	dsn, err := server.NewDatabase()
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}
