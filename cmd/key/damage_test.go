package key

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app/apptest"
	"github.com/fobcli/fob/internal/doctor"
)

// newRegistry makes a registry with rows in every table, and returns its file.
func newRegistry(t *testing.T, m *apptest.Machine) (path string) {
	t.Helper()
	for i := range 60 {
		mustRun(t, m, "", "create", "--owner", fmt.Sprint("shop-", i%7), "--note", strings.Repeat("note ", 60), "--meta", "a=b")
	}
	_, id := create(t, m, "--to", m.Dotenv("KEY"))
	mustRun(t, m, "", "rotate", id, "--overlap", "1d")
	_, id = create(t, m)
	mustRun(t, m, "", "revoke", id)
	withRegistry(t, m, func(g *keys.Registrar) {
		var uses []apikey.Use
		for r, err := range g.Registry.Keys(t.Context(), apikey.Filter{}) {
			if err != nil {
				t.Fatal(err)
			}
			uses = append(uses, apikey.Use{ID: r.ID, Count: 3, Last: m.Time})
		}
		if err := g.Registry.Use(t.Context(), uses); err != nil {
			t.Fatal(err)
		}
	})
	return filepath.Join(m.Home, "data", "registry.db")
}

// doctorFails reports whether the doctor finds a problem with the registry.
func doctorFails(t *testing.T, m *apptest.Machine) bool {
	t.Helper()
	m.Hint = func(error) string { return "restore a backup" }
	findings, err := doctor.Examine(t.Context(), m.App, nil, false, false)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(findings, func(f doctor.Finding) bool { return f.Check == "registry" })
	if i < 0 || (findings[i].Fix == "") != (findings[i].State == doctor.OK) {
		t.Fatalf("no finding about the registry, or one without a fix: %+v", findings)
	}
	return findings[i].State != doctor.OK
}

// Wherever random bytes damage the file: if a key cannot be read, the doctor and a check of
// the log report it.
func TestDamage_EveryPageIsChecked(t *testing.T) {
	m := apptest.New(t, "")
	path := newRegistry(t, m)
	list, _ := mustRun(t, m, "", "list", "--json")
	mustRun(t, m, "", "audit", "--verify")
	if doctorFails(t, m) {
		t.Fatal("the doctor finds a problem in an intact registry")
	}
	intact, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	random := rand.NewChaCha8([32]byte{})
	damaged := 0
	for at := 0; at+page <= len(intact); at += page {
		broken := bytes.Clone(intact)
		_, _ = random.Read(broken[at : at+page])
		restore(t, path, broken)
		got, _, listErr := run(m, "", "list", "--json")
		_, _, verifyErr := run(m, "", "audit", "--verify")
		unwell := doctorFails(t, m)
		switch {
		case verifyErr == nil && (listErr != nil || got != list):
			t.Errorf("page %d: the log is verified, and the list fails: %v", at/page, listErr)
		case listErr != nil && !unwell:
			t.Errorf("page %d: the doctor finds no problem, but the list fails: %v", at/page, listErr)
		}
		for _, err := range []error{listErr, verifyErr} {
			if err != nil && !errors.Is(err, apikey.ErrDamaged) && !errors.As(err, new(*apikey.TamperedError)) {
				t.Errorf("page %d: %v", at/page, err)
			}
			if err != nil && (strings.Contains(err.Error(), "***") || errors.Is(err, apikey.ErrDamaged) && strings.Contains(err.Error(), " (11)") && !strings.Contains(err.Error(), path)) {
				t.Errorf("page %d: no plain sentence, or one without the path: %v", at/page, err)
			}
		}
		if verifyErr != nil {
			damaged++
		}
	}
	if pages := len(intact) / page; damaged < pages/2 {
		t.Errorf("only %d of %d pages matter", damaged, pages)
	}
	restore(t, path, intact[:len(intact)/2])
	if _, _, err := run(m, "", "audit", "--verify"); !errors.Is(err, apikey.ErrDamaged) || !doctorFails(t, m) {
		t.Errorf("half a file: %v", err)
	}
	restore(t, path, intact)
	mustRun(t, m, "", "audit", "--verify")
}

// restore replaces the file of a registry, and removes its log.
func restore(t *testing.T, path string, content []byte) {
	t.Helper()
	for _, suffix := range []string{"-wal", "-shm"} {
		_ = os.Remove(path + suffix)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A file that is not a registry is reported as damaged, and never replaced.
func TestDamage_NothingIsReplaced(t *testing.T) {
	m := apptest.New(t, "")
	dir := filepath.Join(m.Home, "data")
	path := filepath.Join(dir, "registry.db")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"empty": "", "text": "this is not a registry\n", "zeros": strings.Repeat("\x00", 8192)} {
		restore(t, path, []byte(content))
		for _, args := range [][]string{{"create", "--owner", "shop"}, {"list"}, {"audit", "--verify"}} {
			if _, _, err := run(m, "", args...); !errors.Is(err, apikey.ErrDamaged) {
				t.Errorf("%s: fob key %s: %v", name, args[0], err)
			}
		}
		if left, err := os.ReadFile(path); string(left) != content || err != nil {
			t.Errorf("%s: the file was changed: %.20q %v", name, left, err)
		}
		if !doctorFails(t, m) {
			t.Errorf("%s: the doctor finds no problem", name)
		}
	}
	if err := os.Rename(path, path+"-wal"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := run(m, "", "create", "--owner", "shop"); !errors.Is(err, apikey.ErrDamaged) {
		t.Errorf("only the log is left: %v", err)
	}
	if err := os.Remove(path + "-wal"); err != nil {
		t.Fatal(err)
	}
	mustRun(t, m, "", "create", "--owner", "shop")
	entries, err := os.ReadDir(dir)
	if err != nil || slices.ContainsFunc(entries, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), ".registry") }) {
		t.Error("something was left behind:", entries, err)
	}
}
