//go:build unix

package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLinkedConfigIsWrittenThrough(t *testing.T) {
	target := write(t, "# kept with my dotfiles\n")
	if err := os.Chmod(target, 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "config.toml")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if err := Edit(link, func(c *Config) { c.Default = "a" }); err != nil {
		t.Fatal(err)
	}
	dangling := filepath.Join(filepath.Dir(link), "new.toml")
	if err := os.Symlink("elsewhere.toml", dangling); err != nil {
		t.Fatal(err)
	}
	if err := Edit(dangling, func(c *Config) { c.Default = "a" }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(link), "elsewhere.toml")); err != nil {
		t.Errorf("a link to a file that is not there yet: %v", err)
	}
	if got, _ := os.ReadFile(target); !strings.Contains(string(got), `default = "a"`) {
		t.Errorf("the target is %q", got)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link was replaced")
	}
	if info, err := os.Stat(target); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("its mode is %v", info.Mode())
	}
}
