//go:build unix

package config

import (
	"errors"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestProjectFileThatIsAPipeDoesNotHang(t *testing.T) {
	root := project(t, nil)
	if err := unix.Mkfifo(filepath.Join(root, ProjectFile), 0o600); err != nil {
		t.Fatal(err)
	}
	var parse *ParseError
	if got, err := Named("", env(), nil); got.Name != "" || !errors.As(err, &parse) {
		t.Errorf("%v, %v", got, err)
	}
}
