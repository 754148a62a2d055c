// Package sqlite is the registry in a file of this machine.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/registry/sqlstore"
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/sanitize"
)

//go:embed migrations
var migrations embed.FS

// busyTimeout is how long a process waits for the others' changes, in milliseconds.
const busyTimeout = 30_000

// Open opens the registry at path: a file of this user, mode 0600, in a folder that
// nobody else can write to. With create it makes a missing one, and its private
// folder; without, that is apikey.ErrNoRegistry.
func Open(ctx context.Context, path string, create bool) (*sqlstore.Store, error) {
	path = filepath.Clean(path) // "//HOST/…" is another file in a URI
	err := atomicfile.Check(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !create:
		return nil, apikey.ErrNoRegistry
	case errors.Is(err, fs.ErrNotExist):
		err = makeFile(path)
	case err == nil: // SQLite takes over whatever journal lies beside the file
		err = atomicfile.MkdirPrivate(filepath.Dir(path))
	}
	if err != nil {
		return nil, err
	}
	store, err := open(ctx, dsn(path, create), maxConnections, dialect, create)
	if errors.Is(err, errNoIndex) {
		// A full disk has no room for the index that processes share: keys must be
		// verified all the same. Alone, a process has it in its own memory.
		alone := dialect
		alone.OneConnection = true
		// Pragmas that open the file must not come before this one.
		store, err = open(ctx, dsnWith(path, "locking_mode(exclusive)"), 1, alone, create)
	}
	return store, err
}

func open(ctx context.Context, dsn string, connections int, d sqlstore.Dialect, create bool) (*sqlstore.Store, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	return sqlstore.Open(ctx, db, d, create)
}

const maxConnections = 4

// errNoIndex is a registry whose shared index cannot be made (SQLITE_IOERR_SHMSIZE
// and its like).
var errNoIndex = fmt.Errorf("%w: there is no room for its index", apikey.ErrFull)

// makeFile makes an empty file before SQLite does, which would leave it to the umask
// who may read it.
func makeFile(path string) error {
	if err := atomicfile.MkdirPrivate(filepath.Dir(path)); err != nil {
		return err
	}
	if err := atomicfile.Touch(path); err != nil {
		return fmt.Errorf("%w: %w", apikey.ErrUnusable, err)
	}
	return nil
}

// The new ids of a batch lie all over the index: what the cache does not hold is read
// again for each batch, and each checkpoint writes nearly as many pages as the log has.
const (
	cacheSize  = 24 << 10 // KiB
	checkpoint = 16_000   // pages of 4 KiB: so long may the log become
)

// dsn sets what a connection needs. Write-ahead logging stays in the file once set.
func dsn(path string, create bool) string {
	pragmas := []string{fmt.Sprintf("cache_size(-%d)", cacheSize), fmt.Sprintf("wal_autocheckpoint(%d)", checkpoint)}
	if create {
		pragmas = append(pragmas, "journal_mode(wal)")
	}
	return dsnWith(path, pragmas...)
}

func dsnWith(path string, pragmas ...string) string {
	query := url.Values{
		"mode":    {"rw"}, // never make one
		"_txlock": {"immediate"},
		"_pragma": append(pragmas, fmt.Sprintf("busy_timeout(%d)", busyTimeout), "foreign_keys(1)", "synchronous(full)"),
	}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: query.Encode()}).String()
}

// maxParameters of a statement: SQLite looks each name up among all before it, which
// takes a quarter of a second with 8,000.
const maxParameters = 68

var dialect = sqlstore.Dialect{
	Migrations:    migrations,
	HeadForUpdate: "SELECT seq, hash FROM audit_head", // 'begin immediate' has locked the file
	Parameters:    maxParameters,
	DataVersion:   "PRAGMA data_version",
	Retry:         isRetryable,
	Lost:          func(error) bool { return false },
	Explain:       explain,
}

// retry: another fob made the same table. For all else busy_timeout waits.
func isRetryable(err error) bool {
	return codeOf(err)&0xff == sqlite3.SQLITE_ERROR && strings.Contains(err.Error(), "already exists")
}

// codeOf is the extended result code of SQLite, or -1.
func codeOf(err error) int {
	if failed, ok := errors.AsType[*sqlite.Error](err); ok {
		return failed.Code()
	}
	return -1
}

// explain says which of the registry's troubles an error of SQLite is.
func explain(err error) error {
	kind := apikey.ErrUnusable
	code := codeOf(err)
	if code == -1 {
		return err
	}
	switch code {
	case sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMMAP:
		kind = errNoIndex // in shared memory
	}
	switch code & 0xff { // without what SQLite says beside it
	case sqlite3.SQLITE_ERROR:
		if strings.Contains(err.Error(), "no such table: registry") {
			return apikey.ErrNoRegistry
		}
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		kind = apikey.ErrBusy
	case sqlite3.SQLITE_FULL:
		kind = apikey.ErrFull
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		kind = apikey.ErrDamaged
	case sqlite3.SQLITE_INTERRUPT:
		return context.Canceled
	}
	return fmt.Errorf("%w: %s", kind, sanitize.Line(err.Error()))
}
