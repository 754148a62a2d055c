package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"testing"
)

// module is a program that is built from its published source, once for all runs on a
// machine: in minutes, into the user's cache.
type module struct {
	path, version string
	program       string // its package
	tags          string
	staging       string // the version of what its own go.mod takes from ./staging
}

// built returns the program, and the folder with its source.
func (m module) built(t *testing.T) (program, source string) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "fob-e2e", path.Base(m.program)+"-"+m.version)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var at struct{ Dir, GoMod string }
	m.ask(t, dir, &at, "mod", "download", "-json", m.path+"@"+m.version)
	program = filepath.Join(dir, path.Base(m.program))
	if _, err := os.Stat(program); !errors.Is(err, fs.ErrNotExist) {
		return program, at.Dir
	}
	t.Logf("building %s %s: some minutes, once", m.program, m.version)
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), m.goMod(t, at.GoMod), 0o600); err != nil {
		t.Fatal(err)
	}
	m.run(t, dir, "build", "-mod=mod", "-ldflags", "-s -w", "-tags", m.tags, "-o", program+".new", m.program)
	if err := os.Rename(program+".new", program); err != nil {
		t.Fatal(err)
	}
	return program, at.Dir
}

// goMod replaces what the module's own go.mod does, which counts in its own folder only.
func (m module) goMod(t *testing.T, own string) []byte {
	var has struct {
		Go      string
		Replace []struct {
			Old, New struct{ Path, Version string }
		}
	}
	m.ask(t, filepath.Dir(own), &has, "mod", "edit", "-json", own)
	var text bytes.Buffer
	fmt.Fprintf(&text, "module real\n\ngo %s\n\nrequire %s %s\n", has.Go, m.path, m.version)
	for _, r := range has.Replace {
		if m.staging != "" && r.New.Version == "" {
			r.New.Path, r.New.Version = r.Old.Path, m.staging
		}
		fmt.Fprintf(&text, "replace %s %s => %s %s\n", r.Old.Path, r.Old.Version, r.New.Path, r.New.Version)
	}
	return text.Bytes()
}

func (m module) ask(t *testing.T, dir string, answer any, args ...string) {
	t.Helper()
	if err := json.Unmarshal(m.run(t, dir, args...), answer); err != nil {
		t.Fatal(err)
	}
}

func (m module) run(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %v: %v\n%s", args, err, out)
	}
	return out
}
