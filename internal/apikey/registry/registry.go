// Package registry opens the configured registry of keys.
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

// ErrScheme means that a registry's URL has an unknown scheme.
var ErrScheme = errors.New("a registry is sqlite:/PATH or postgres://HOST/DATABASE")

// Open opens a registry by its URL: sqlite: with an absolute path, or a postgres URL.
func Open(ctx context.Context, dsn string, mode apikey.Mode) (apikey.Registry, error) {
	var store *sqlstore.Store
	err := ErrScheme
	if path, ok := strings.CutPrefix(dsn, "sqlite:"); ok && filepath.IsAbs(path) {
		store, err = sqlite.Open(ctx, path, mode)
	} else if IsShared(dsn) {
		store, err = postgres.Open(ctx, dsn, mode)
	}
	if err != nil {
		return nil, err
	}
	return store, nil
}

// IsShared reports whether a registry is used by several machines.
func IsShared(dsn string) bool {
	return strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
}
