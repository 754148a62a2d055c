package e2e

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// fob and a program with another implementation of SQLite, here modernc.org/sqlite, which
// fob itself used once, exclude each other from the file.
func TestKeysBesideAnotherSQLite(t *testing.T) {
	t.Parallel()
	k := newKeyMachine(t, keyRegistries[0])
	_, id := k.newKey("first")
	db, err := sql.Open("sqlite", k.source+"?_txlock=immediate&_pragma=busy_timeout(30000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	count := func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO key_use (key_id, last_at, uses) VALUES ($1, 1, 1) ON CONFLICT (key_id) DO UPDATE SET uses = uses + 1", id)
		return err
	}

	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	waiting := k.fobCommand("key", "create", "--owner", "second")
	var stderr strings.Builder
	waiting.Stderr = &stderr
	if err := waiting.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", waiting.Process.Pid))
		for _, fd := range fds {
			if file, _ := os.Readlink(fd); strings.HasSuffix(file, "-wal") {
				return nil
			}
		}
		return fmt.Errorf("fob has not opened the log: %d files", len(fds))
	})
	if len(k.keys()) != 1 {
		t.Error("fob did not wait for the other program's transaction")
	}
	if err := count(tx); err != nil {
		t.Error(err)
	}
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
	if err := waiting.Wait(); err != nil {
		t.Errorf("%v\n%s", err, stderr.String())
	}

	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() { k.fob("", "key", "create", "--owner", "many", "--count", "10") })
	}
	for range 100 {
		tx, err := db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		if err := count(tx); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	var uses int
	if err := db.QueryRow("SELECT uses FROM key_use").Scan(&uses); err != nil || uses != 101 {
		t.Errorf("%d uses, %v", uses, err)
	}
	if n := len(k.keys()); n != 102 {
		t.Errorf("%d keys", n)
	}
	k.ok("key", "audit", "--verify")
}
