package sqlite

import (
	"database/sql"
	"errors"

	"github.com/ncruces/go-sqlite3"
	"modernc.org/sqlite"
)

// On Windows, github.com/ncruces/go-sqlite3 shares the log's index with system calls that
// Windows has since version 1803 and Wine 8, which runs the tests, has not.
func openDB(dsn string) (*sql.DB, error) { return sql.Open("sqlite", dsn) }

func serialize(conn any) ([]byte, error) {
	return conn.(interface{ Serialize() ([]byte, error) }).Serialize()
}

func codeOf(err error) (sqlite3.ExtendedErrorCode, bool) {
	failed, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return 0, false
	}
	return sqlite3.ExtendedErrorCode(failed.Code()), true
}
