//go:build !windows

package sqlite

import (
	"database/sql"
	"errors"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver"
	"github.com/ncruces/go-sqlite3/ext/serdes"
)

func openDB(dsn string) (*sql.DB, error) { return driver.Open(dsn) }

// serialize returns the contents of a connection's database.
func serialize(conn any) ([]byte, error) { return serdes.Serialize(conn.(driver.Conn).Raw(), "main") }

// codeOf returns the result code of an error of SQLite.
func codeOf(err error) (sqlite3.ExtendedErrorCode, bool) {
	return errors.AsType[sqlite3.ExtendedErrorCode](err)
}
