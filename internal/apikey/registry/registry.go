// Package registry opens the registry of keys that the user has chosen.
package registry

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/registry/postgres"
	"github.com/fobcli/fob/internal/apikey/registry/sqlite"
	"github.com/fobcli/fob/internal/apikey/registry/sqlstore"
)

// ErrScheme means that a registry's name is of no kind that fob knows.
var ErrScheme = errors.New("a registry is sqlite:/PATH or postgres://HOST/DATABASE")

// ErrInsecure means that a registry would be reached in a way that others can read.
var ErrInsecure = postgres.ErrInsecure

// Open opens a registry by its name: sqlite: and an absolute path, or a postgres URL. With create it
// makes a missing one; without, that is apikey.ErrNoRegistry.
func Open(ctx context.Context, dsn string, create bool) (apikey.Registry, error) {
	var store *sqlstore.Store
	err := ErrScheme
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok && filepath.IsAbs(path) {
		store, err = sqlite.Open(ctx, path, create)
	} else if IsShared(dsn) {
		store, err = postgres.Open(ctx, dsn, create)
	}
	if err != nil {
		return nil, err
	}
	return store, nil
}

// IsShared reports whether a name is that of a registry which many machines share.
func IsShared(dsn string) bool {
	return strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
}
