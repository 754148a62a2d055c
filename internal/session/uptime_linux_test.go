package session

import (
	"os"
	"path/filepath"
	"testing"
)

func TestBootID_FailureIsNotRemembered(t *testing.T) {
	before := boot.id
	defer func() { boot.id = before }()
	boot.id = ""
	path := filepath.Join(t.TempDir(), "boot_id")
	if id := bootID(path); id != "" {
		t.Fatal(id)
	}
	if err := os.WriteFile(path, []byte("one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if id := bootID(path); id != "one" {
		t.Errorf("%q after a failure", id)
	}
	if id := bootID(path + "-gone"); id != "one" {
		t.Errorf("%q, not the id that was read", id)
	}
}
