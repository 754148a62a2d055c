package records

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
)

// An unreachable keyring is not searched for records of encrypted files, and does not prevent a
// change of their key.
func TestOrphans_NoKeyring(t *testing.T) {
	m := newMachine(t)
	locks := filepath.Join(m.Home, "data", "locks")
	if err := os.WriteFile(filepath.Join(locks, "removed.lock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(m.Home, "data", "id"), []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	if all, err := Orphans(t.Context(), m.App); len(all) != 0 || err != nil {
		t.Errorf("%+v, %v", all, err)
	}
	if err := checkOrphans(t.Context(), m.App, config.StorageFile); err != nil {
		t.Error(err)
	}
	if err := config.RemoveProfile(filepath.Join(m.Home, "config.toml"), "work"); err != nil {
		t.Fatal(err)
	}
	all, err := Orphans(t.Context(), m.App)
	if err != nil || len(all) != 1 || all[0].Label != "work" || all[0].Storage != "file" {
		t.Errorf("%+v, %v", all, err)
	}
	if err := checkOrphans(t.Context(), m.App, config.StorageFile); err == nil || errors.Is(err, credstore.ErrAbsent) {
		t.Error(err)
	}
}
