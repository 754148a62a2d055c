package delivery

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/ptytest"
)

// On a terminal, the user is asked; Enter is no.
func TestAllowFolders_Asks(t *testing.T) {
	for typed, want := range map[string]bool{"y\n": true, "\n": false, "n\n": false} {
		home, other := t.TempDir(), t.TempDir()
		person, program := ptytest.Open(t)
		a := app.New(program, io.Discard, program, map[string]string{"FOB_HOME": home})
		if _, err := io.WriteString(person, typed); err != nil {
			t.Fatal(err)
		}
		if err := AllowFolders(t.Context(), a, []string{"dotenv:" + other + "/.env#KEY", "exec:absent"}, false, true); err != nil {
			t.Errorf("%q: %v", typed, err)
		}
		text, _ := os.ReadFile(filepath.Join(home, "config.toml"))
		if allowed := strings.Contains(string(text), `dotenv_roots = ["`+other+`"]`); allowed != want {
			t.Errorf("%q: %s", typed, text)
		}
	}
}
