package key

import (
	"crypto/sha256"
	"database/sql"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/app/apptest"
	"github.com/fobcli/fob/internal/cli"
)

const manyKeys = 2000

// withManyKeys returns a machine with many keys of the owner big, and the database of its
// registry. The key with the last id cannot be read.
func withManyKeys(t *testing.T) (m *apptest.Machine, ids []string, db *sql.DB) {
	t.Helper()
	m = apptest.New(t, "")
	withRegistry(t, m, func(g *keys.Registrar) {
		for batch := range manyKeys / keys.BatchSize {
			records := make([]apikey.Record, keys.BatchSize)
			for i := range records {
				digest := apikey.Digest(sha256.Sum256(fmt.Append(nil, batch, i)))
				records[i] = apikey.Record{ID: apikey.ImportedID(digest), Digest: digest, Owner: "big", Environment: "live", CreatedAt: m.Time}
			}
			if _, err := g.Import(t.Context(), records); err != nil {
				t.Fatal(err)
			}
		}
		records, err := g.Select(t.Context(), apikey.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		ids = recordIDs(records)
	})
	db, err := sql.Open("sqlite3", filepath.Join(m.Home, "data", app.RegistryFile))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if _, err := db.ExecContext(t.Context(), "UPDATE api_key SET metadata = '?' WHERE id = $1", ids[len(ids)-1]); err != nil {
		t.Fatal(err)
	}
	return m, ids, db
}

// Commands about some keys do not read the others.
func TestManyKeys_OthersAreNotRead(t *testing.T) {
	m, ids, _ := withManyKeys(t)
	for _, args := range [][]string{
		{"list", "--limit", "3"},
		{"list", "--limit", "3", "--json"},
		{"list", "--expiring", "30d"},
		{"revoke", ids[0], ids[1], "--dry-run"},
		{"audit", ids[0]},
		{"audit", "--last", "1"},
	} {
		if _, _, err := run(m, "", args...); err != nil {
			t.Errorf("fob key %s: %v", strings.Join(args, " "), err)
		}
	}
	if _, _, err := run(m, "", "list"); err == nil {
		t.Error("the last key can be read")
	}
}

// onFirstWrite calls do when something is written.
type onFirstWrite struct {
	io.Writer
	do func()
}

func (w *onFirstWrite) Write(text []byte) (int, error) {
	if w.do != nil {
		w.do()
		w.do = nil
	}
	return w.Writer.Write(text)
}

// The first keys are printed before the last are read: they can be repaired in between.
func TestManyKeys_ArePrintedWhileTheyAreRead(t *testing.T) {
	m, ids, db := withManyKeys(t)
	for _, test := range []struct {
		args  []string
		lines int
	}{
		{[]string{"list", "--owner", "big"}, manyKeys + 1},
		{[]string{"list", "--json"}, manyKeys*8 + 2},
		{[]string{"export"}, manyKeys},
		{[]string{"revoke", "--owner", "big", "--dry-run"}, manyKeys},
	} {
		last := ids[len(ids)-1]
		if _, err := db.ExecContext(t.Context(), "UPDATE api_key SET metadata = '?' WHERE id = $1", last); err != nil {
			t.Fatal(err)
		}
		repair := &onFirstWrite{&m.Out, func() {
			if _, err := db.ExecContext(t.Context(), "UPDATE api_key SET metadata = '' WHERE id = $1", last); err != nil {
				t.Error(err)
			}
		}}
		m.App.Out = cli.NewStream(repair)
		if test.args[0] == "revoke" {
			m.App.Err = cli.NewStream(repair)
		}
		stdout, _, err := run(m, "", test.args...)
		if lines := strings.Count(stdout, "\n"); err != nil || lines != test.lines || !strings.Contains(stdout, last) {
			t.Errorf("fob key %s: %d lines, %v", strings.Join(test.args, " "), lines, err)
		}
	}
}
