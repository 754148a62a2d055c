// Package sqlite is the registry in a local file.
package sqlite

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/ncruces/go-sqlite3"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/registry/sqlstore"
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/sanitize"
)

//go:embed migrations
var migrations embed.FS

// busyTimeout is how long to wait for other processes' changes, in milliseconds.
const busyTimeout = 30_000

// Open opens the registry at path: a file of this user, mode 0600, in a folder that only
// this user can write to. A missing one is created with its private folder.
func Open(ctx context.Context, path string, mode apikey.Mode) (*sqlstore.Store, error) {
	path = filepath.Clean(path) // "//HOST/…" would be another file in a URI
	err := atomicfile.Check(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = makeFile(ctx, path, mode)
	case err == nil: // SQLite applies any journal next to the file
		err = atomicfile.MkdirPrivate(filepath.Dir(path))
	}
	if err != nil {
		return nil, err
	}
	// The driver would create the index with a mode that depends on the umask.
	if index, err := os.OpenFile(path+"-shm", os.O_CREATE|os.O_EXCL, 0o600); err == nil {
		_ = index.Close()
	}
	store, err := open(ctx, dsn(path, mode), maxConnections, dialect(path), mode)
	if errors.Is(err, errNoIndex) {
		// On a full disk, the index shared by processes cannot be created, but keys must
		// still be verified. A single process can have it in memory.
		alone := dialect(path)
		alone.OneConnection = true
		// This pragma must be the first that accesses the file.
		store, err = open(ctx, dsnWith(path, "locking_mode(exclusive)"), 1, alone, mode)
	}
	if errors.Is(err, errNoLog) {
		store, err = openFrozen(ctx, path, mode)
	}
	if errors.Is(err, apikey.ErrNoRegistry) { // or the file is empty: fob never creates such a file
		err = fmt.Errorf("%w: %s is not a registry", apikey.ErrDamaged, path)
	}
	return store, err
}

// openFrozen opens a registry on a read-only mount, so that keys can still be verified. It
// returns errNoLog if there is a log, because its changes would be missing.
func openFrozen(ctx context.Context, path string, mode apikey.Mode) (*sqlstore.Store, error) {
	if log, err := os.Stat(path + "-wal"); err == nil && log.Size() > 0 {
		return nil, errNoLog
	}
	d := dialect(path)
	d.Frozen = true
	return open(ctx, strings.Replace(dsnWith(path), "mode=rw", "mode=ro&immutable=1", 1), maxConnections, d, mode)
}

func open(ctx context.Context, dsn string, connections int, d sqlstore.Dialect, mode apikey.Mode) (*sqlstore.Store, error) {
	db, err := openDB(dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	return sqlstore.Open(ctx, db, d, mode)
}

const maxConnections = 4

// place is why a file that SQLite needs next to the registry cannot be created.
type place string

const (
	errNoIndex place = "there is no room for its index" // in shared memory (SQLITE_IOERR_SHMSIZE and similar)
	errNoLog   place = "its folder cannot be written"   // SQLITE_CANTOPEN
)

func (p place) Error() string { return p.Unwrap().Error() + ": " + string(p) }

func (p place) Unwrap() error {
	if p == errNoIndex {
		return apikey.ErrFull
	}
	return apikey.ErrUnusable
}

// makeFile creates a missing registry with a private mode, in one step: a file that is not a
// registry is therefore damaged, never unfinished.
func makeFile(ctx context.Context, path string, mode apikey.Mode) error {
	if _, err := os.Lstat(path + "-wal"); err == nil {
		return fmt.Errorf("%w: %s is missing, but its log %s-wal exists", apikey.ErrDamaged, path, filepath.Base(path))
	}
	if mode != apikey.ModeCreate {
		return apikey.ErrNoRegistry
	}
	if err := atomicfile.MkdirPrivate(filepath.Dir(path)); err != nil {
		return err
	}
	empty, err := newRegistry(ctx)
	if err != nil {
		return err
	}
	err = atomicfile.Create(path, empty)
	switch {
	case err == nil, errors.Is(err, fs.ErrExist): // another process was first
		return nil
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w: %w", apikey.ErrFull, err)
	}
	return fmt.Errorf("%w: %w", apikey.ErrUnusable, err)
}

// newRegistry returns the contents of a registry without keys.
func newRegistry(ctx context.Context) (file []byte, err error) {
	db, err := openDB(":memory:")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	store, err := sqlstore.Open(ctx, db, dialect(":memory:"), apikey.ModeCreate)
	if err != nil {
		return nil, err
	}
	defer func() { _ = store.Close() }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	err = conn.Raw(func(c any) (err error) {
		file, err = serialize(c)
		return err
	})
	return file, err
}

// The random ids of a batch are spread over the index: pages that do not fit into the cache
// are read again for each batch, and each checkpoint writes nearly all of them.
const (
	cacheSize  = 24 << 10 // KiB
	checkpoint = 16_000   // pages of 4 KiB: the maximum length of the log
)

// dsn returns the settings of a connection. Write-ahead logging is stored in the file.
func dsn(path string, mode apikey.Mode) string {
	pragmas := []string{fmt.Sprintf("cache_size(-%d)", cacheSize), fmt.Sprintf("wal_autocheckpoint(%d)", checkpoint)}
	if mode == apikey.ModeCreate {
		pragmas = append(pragmas, "journal_mode(wal)")
	}
	return dsnWith(path, pragmas...)
}

func dsnWith(path string, pragmas ...string) string {
	query := url.Values{
		"mode":    {"rw"}, // do not create the file
		"modeof":  {path}, // of the log
		"_txlock": {"immediate"},
		"_pragma": slices.Concat([]string{fmt.Sprintf("busy_timeout(%d)", busyTimeout)}, pragmas, []string{"foreign_keys(1)", "synchronous(full)"}),
	}
	escaped := strings.ReplaceAll(query.Encode(), "+", "%20") // as SQLite reads it
	return (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: escaped}).String()
}

// maxParameters bounds a statement's parameters: SQLite compares each name with all before
// it, which takes a quarter of a second for 8,000.
const maxParameters = 68

func dialect(path string) sqlstore.Dialect {
	const check = "SELECT iif(integrity_check = 'ok', 'ok', '%s: some of its pages or rows are not what SQLite wrote') FROM pragma_integrity_check LIMIT 1"
	return sqlstore.Dialect{
		Migrations:    migrations,
		HeadForUpdate: "SELECT seq, hash FROM log_head", // 'begin immediate' has locked the file
		Parameters:    maxParameters,
		Check:         fmt.Sprintf(check, strings.ReplaceAll(path, "'", "''")),
		Retry:         isRetryable,
		Lost:          func(error) bool { return false },
		Explain:       func(err error) error { return explain(path, err) },
	}
}

// isRetryable reports that another process created the same table. Other conflicts are left
// to busy_timeout.
func isRetryable(err error) bool {
	code, _ := codeOf(err)
	return code.Code() == sqlite3.ERROR && strings.Contains(err.Error(), "already exists")
}

// explain converts errors of SQLite to errors of package apikey.
func explain(path string, err error) error {
	code, ok := codeOf(err)
	if !ok {
		return err
	}
	kind := apikey.ErrUnusable
	switch code {
	case sqlite3.IOERR_SHMOPEN, sqlite3.IOERR_SHMSIZE, sqlite3.IOERR_SHMMAP:
		kind = errNoIndex // in shared memory
	case sqlite3.IOERR_READ, sqlite3.IOERR_SHORT_READ:
		kind = apikey.ErrDamaged
	case sqlite3.IOERR_WRITE, sqlite3.IOERR_FSYNC:
		if errors.Is(err, syscall.ENOSPC) {
			kind = apikey.ErrFull
		}
	}
	switch code.Code() {
	case sqlite3.ERROR:
		if strings.Contains(err.Error(), "no such table: registry") {
			return apikey.ErrNoRegistry
		}
		if strings.Contains(err.Error(), "no such ") {
			kind = apikey.ErrDamaged
		}
	case sqlite3.BUSY, sqlite3.LOCKED:
		kind = apikey.ErrBusy
	case sqlite3.CANTOPEN:
		kind = errNoLog
	case sqlite3.FULL:
		kind = apikey.ErrFull
	case sqlite3.CORRUPT, sqlite3.NOTADB:
		kind = apikey.ErrDamaged
	case sqlite3.INTERRUPT:
		return context.Canceled
	}
	reason := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "sqlite3: invalid _pragma: "), "sqlite3: ")
	return fmt.Errorf("%w: %s", kind, sanitize.Line(path+": "+reason))
}
