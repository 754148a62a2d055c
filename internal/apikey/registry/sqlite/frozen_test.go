package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/apikey"
)

// A registry that is read without its log: keys can be read, and nothing waits for changes
// that it would not see.
func TestOpen_Frozen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	r, err := Open(t.Context(), path, apikey.ModeCreate)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	frozen, err := openFrozen(t.Context(), path, apikey.ModeUse)
	if err != nil {
		t.Fatal(err)
	}
	defer frozen.Close()
	if _, err := frozen.Key(t.Context(), "1OOivdDZfQCU"); !errors.Is(err, apikey.ErrNotFound) {
		t.Errorf("Key() = %v", err)
	}
	if _, _, err := frozen.Changed(t.Context(), 0, 1); !errors.Is(err, apikey.ErrUnusable) || !strings.Contains(err.Error(), "would not be seen") {
		t.Errorf("Changed() = %v", err)
	}
	// A log has changes that the file has not.
	if err := os.WriteFile(path+"-wal", []byte("log"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openFrozen(t.Context(), path, apikey.ModeUse); !errors.Is(err, errNoLog) {
		t.Errorf("with a log: %v", err)
	}
}
