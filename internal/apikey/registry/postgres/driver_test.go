//go:build unix

package postgres_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"net/url"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey/registry/postgres"
)

func openDB(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := postgres.OpenDB(dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// with returns a URL with a parameter of its query set.
func with(t *testing.T, dsn, name, value string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = query.Encode()
	return u.String()
}

func TestDriver_Values(t *testing.T) {
	db := openDB(t, newDatabase(t))
	for _, test := range []struct {
		query string
		arg   any
		want  driver.Value
	}{
		{"SELECT $1::TEXT", "", ""},
		{"SELECT $1::TEXT", "ä'\\", "ä'\\"},
		{"SELECT $1::TEXT", nil, nil},
		{"SELECT $1", "untyped", "untyped"},
		{"SELECT $1::BIGINT", int64(-1 << 63), int64(-1 << 63)},
		{"SELECT 1 - $1", 3, int64(-2)},
		{"SELECT NOT $1", true, false},
		{"SELECT NOT $1", false, true},
		{"SELECT $1::BYTEA", []byte{}, []byte{}},
		{"SELECT $1::BYTEA", []byte{0, 255}, []byte{0, 255}},
		{"SELECT $1::BYTEA", []byte(nil), nil},
	} {
		var got any
		if err := db.QueryRow(test.query, test.arg).Scan(&got); err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s of %#v: %#v, %v", test.query, test.arg, got, err)
		}
	}
}

// What a query without a result returns, and one that fails after its first row.
func TestDriver_Rows(t *testing.T) {
	db := openDB(t, newDatabase(t))
	rows, err := db.Query("CREATE TABLE x (a BIGINT)")
	if err != nil {
		t.Fatal(err)
	}
	if rows.Next() || rows.Err() != nil || rows.Close() != nil {
		t.Error(rows.Err())
	}
	result, err := db.Exec("INSERT INTO x VALUES ($1), ($2)", 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := result.RowsAffected(); n != 2 || err != nil {
		t.Error(n, err)
	}
	rows, err = db.Query("SELECT 1 / (2 - a) FROM generate_series(1, 3) AS a")
	if err != nil {
		t.Fatal(err)
	}
	if !rows.Next() || rows.Next() || rows.Err() == nil || !strings.Contains(rows.Err().Error(), "22012") {
		t.Error("a division by zero in the second row:", rows.Err())
	}
	rows.Close()
	if err := db.QueryRow("SELECT nothing").Scan(new(any)); err == nil || !strings.Contains(err.Error(), "42703") {
		t.Error("an unknown column:", err)
	}
	if n := db.Stats().OpenConnections; n != 1 {
		t.Errorf("%d connections: an error of a statement is not one of its connection", n)
	}
}

func TestDriver_CommitOfAFailedTransaction(t *testing.T) {
	db := openDB(t, newDatabase(t))
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("SELECT nothing"); err == nil {
		t.Error("no error")
	}
	if err := tx.Commit(); err == nil || !strings.Contains(err.Error(), "failed before its commit") {
		t.Errorf("Commit() = %v", err)
	}
}

// A transaction whose context has ended keeps no lock, and no statement waits for a server
// that does not respond.
func TestDriver_EndOfAContext(t *testing.T) {
	dsn := newDatabase(t)
	db := openDB(t, dsn)
	if _, err := db.Exec("CREATE TABLE x AS SELECT 1 AS a"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("UPDATE x SET a = 2"); err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = tx.Rollback()
	ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var a int
	if err := openDB(t, dsn).QueryRowContext(ctx, "UPDATE x SET a = a + 10 RETURNING a").Scan(&a); err != nil || a != 11 {
		t.Error(a, err)
	}

	ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := db.ExecContext(ctx, "SELECT pg_sleep(60)"); err == nil || time.Since(began) > 10*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
	if err := db.QueryRow("SELECT a FROM x").Scan(&a); err != nil || a != 11 {
		t.Error("the next statement:", a, err)
	}
}

// The first host that does not accept writes, or does not respond, is left for the next.
func TestDriver_SeveralHosts(t *testing.T) {
	dsn := newDatabase(t)
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	hosts := t.TempDir() + "," + u.Query().Get("host")
	db := openDB(t, with(t, with(t, dsn, "host", hosts), "target_session_attrs", "read-write"))
	if err := db.QueryRow("SELECT 1").Scan(new(int)); err != nil {
		t.Error(err)
	}
	if _, err := openDB(t, dsn).Exec("ALTER ROLE postgres IN DATABASE " + u.Path[1:] + " SET default_transaction_read_only = on"); err != nil {
		t.Fatal(err)
	}
	if err := openDB(t, with(t, dsn, "target_session_attrs", "read-write")).Ping(); err == nil || !strings.Contains(err.Error(), "read only") {
		t.Errorf("a server that accepts no writes: %v", err)
	}
}

func TestDriver_Password(t *testing.T) {
	dsn := newDatabase(t)
	db := openDB(t, dsn)
	var file string
	if err := db.QueryRow("SELECT current_setting('hba_file')").Scan(&file); err != nil {
		t.Fatal(err)
	}
	rules, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append([]byte("local all with_password scram-sha-256\n"), rules...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"CREATE ROLE with_password LOGIN PASSWORD 'pass'", "SELECT pg_reload_conf()"} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	login := with(t, dsn, "user", "with_password")
	for end := time.Now().Add(10 * time.Second); openDB(t, with(t, login, "password", "wrong")).Ping() == nil; {
		if time.Now().After(end) {
			t.Fatal("the server accepts a wrong password")
		}
	}
	if err := openDB(t, with(t, login, "password", "pass")).Ping(); err != nil {
		t.Error(err)
	}
}

// Settings of the driver that fob had are not sent to the server, which would refuse them.
func TestDriver_OldSettings(t *testing.T) {
	dsn := with(t, with(t, newDatabase(t), "default_query_exec_mode", "exec"), "statement_cache_capacity", "0")
	if err := openDB(t, dsn).Ping(); err != nil {
		t.Error(err)
	}
}
