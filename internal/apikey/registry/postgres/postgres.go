// Package postgres is the registry in PostgreSQL or CockroachDB, for many machines.
package postgres

import (
	"context"
	"crypto/tls"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/registry/sqlstore"
	"github.com/fobcli/fob/internal/sanitize"
)

//go:embed migrations
var migrations embed.FS

const maxConnections = 8

// connectTimeout is the timeout for connecting to a server.
const connectTimeout = 10 * time.Second

// Open opens the registry at a URL (postgres://…). Over a network, the server's certificate is
// verified (sslmode=verify-full, the default here).
func Open(ctx context.Context, dsn string, mode apikey.Mode) (*sqlstore.Store, error) {
	config, err := parse(dsn)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector{config: config})
	db.SetMaxOpenConns(maxConnections)
	db.SetConnMaxIdleTime(time.Minute)
	return sqlstore.Open(ctx, db, dialect(), mode)
}

// parse parses the URL. Its errors do not contain the URL, because it may have a password.
func parse(dsn string) (*pgconn.Config, error) {
	if !strings.Contains(dsn, "sslmode=") {
		dsn = withSSLMode(dsn)
	}
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("%w: its URL is not understood", apikey.ErrUnusable)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	for _, setting := range []string{"default_query_exec_mode", "statement_cache_capacity", "description_cache_capacity"} {
		delete(config.RuntimeParams, setting) // of pgx, which older URLs may have; the server would reject them
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "fob"
	}
	private := isPrivate(config.Host, config.TLSConfig)
	for _, fallback := range config.Fallbacks {
		private = private && isPrivate(fallback.Host, fallback.TLSConfig)
	}
	if !private {
		return nil, apikey.ErrInsecure
	}
	return config, nil
}

// isPrivate reports whether a host is this machine, or its certificate is verified.
func isPrivate(host string, config *tls.Config) bool {
	return isLocal(host) || config != nil && !config.InsecureSkipVerify
}

// withSSLMode requires a verified certificate, unless the server is on this machine.
func withSSLMode(dsn string) string {
	mode := "sslmode=verify-full"
	if config, err := pgconn.ParseConfig(dsn); err == nil && isLocal(config.Host) {
		mode = "sslmode=prefer"
	}
	separator := "?"
	if strings.Contains(dsn, "?") {
		separator = "&"
	}
	return dsn + separator + mode
}

// isLocal reports whether a host is this machine: a socket's folder, or a loopback address.
func isLocal(host string) bool {
	if strings.HasPrefix(host, "/") || host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

func dialect() sqlstore.Dialect {
	return sqlstore.Dialect{
		Migrations:    migrations,
		HeadForUpdate: "SELECT seq, hash FROM log_head FOR UPDATE",
		Parameters:    16_000, // the protocol allows 65,535; each statement is a round trip
		Snapshot:      sql.LevelRepeatableRead,
		Check: `SELECT CASE WHEN (SELECT COUNT(k::TEXT) FROM api_key k) + (SELECT COUNT(u::TEXT) FROM key_use u) + (SELECT COUNT(r::TEXT) FROM rotation r)
		+ (SELECT COUNT(p::TEXT) FROM revocation p) + (SELECT COUNT(a::TEXT) FROM audit_log a) >= 0 THEN 'ok' END`,
		Retry:   isRetryable,
		Lost:    isConnectionLost,
		Explain: explain,
	}
}

// codeOf returns the SQLSTATE of an error of the server, or "".
func codeOf(err error) string {
	if failed, ok := errors.AsType[*pgconn.PgError](err); ok {
		return failed.Code
	}
	return ""
}

// isRetryable reports conflicts with another transaction, or with another process that
// creates the same table.
func isRetryable(err error) bool {
	switch codeOf(err) {
	case "40001", "40P01", // serialization_failure, deadlock_detected
		"23505", "42P07", "42710": // unique_violation, duplicate_table, duplicate_object
		return true
	}
	return false
}

// isConnectionLost reports whether the connection was closed or the server is shutting
// down.
func isConnectionLost(err error) bool {
	var network net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, driver.ErrBadConn) ||
		errors.As(err, &network) || strings.HasPrefix(codeOf(err), "57P0") || strings.HasPrefix(codeOf(err), "08") ||
		codeOf(err) == "" && pgconn.SafeToRetry(err)
}

// explain converts errors of PostgreSQL to errors of package apikey.
func explain(err error) error {
	_, isConnect := errors.AsType[*pgconn.ConnectError](err)
	code := codeOf(err)
	kind := apikey.ErrUnusable
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case code == "42P01": // undefined_table
		return apikey.ErrNoRegistry
	case code == "53100": // disk_full
		kind = apikey.ErrFull
	case strings.HasPrefix(code, "XX"):
		kind = apikey.ErrDamaged
	case code == "55P03", code == "57014": // lock_not_available, query_canceled
		kind = apikey.ErrBusy
	case errors.Is(err, apikey.ErrUnavailable):
		return err
	case code == "" && isConnect, isConnectionLost(err), code == "53300": // too_many_connections
		kind = apikey.ErrUnavailable
	case code == "":
		return err
	}
	if failed, ok := errors.AsType[*pgconn.PgError](err); ok {
		return fmt.Errorf("%w: %s (SQLSTATE %s)", kind, sanitize.Line(failed.Message), code)
	}
	return fmt.Errorf("%w: %s", kind, sanitize.Line(err.Error()))
}
