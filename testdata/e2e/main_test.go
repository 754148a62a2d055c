// Package e2e runs the real fob against real parts: a certified OpenID provider, a
// second authorization server of another make, gnome-keyring on a private bus,
// Chromium. What a step claims is looked up at the server too.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// fob is the path of the program under test, authserver that of the test issuer.
// shipped is fob as it is shipped, without the race detector.
var fob, shipped, authserver string

func TestMain(m *testing.M) {
	if server := os.Getenv("E2E_BROWSER"); server != "" {
		yes := approve
		if server == "glewlwyd" {
			yes = approveAtGlewlwyd
		}
		if err := yes(os.Args[len(os.Args)-1]); err != nil {
			fmt.Fprintln(os.Stderr, "browser:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "fob-e2e-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	defer stopPostgres()
	fob, shipped, authserver = filepath.Join(dir, "fob"), filepath.Join(dir, "shipped"), filepath.Join(dir, "authserver")
	if measured != "" {
		shipped = measured
	} else {
		build(shipped, ".", "-trimpath", "-ldflags", "-s -w")
	}
	if soak != "" || measured != "" {
		fob = shipped
	} else {
		build(fob, ".", append(strings.Fields(os.Getenv("FOB_RACE_FLAGS")), "-race")...)
	}
	build(authserver, "./internal/authservertest/authserver")
	status := m.Run()
	if status == 0 && soak != "" {
		if err := writeReport(); err != nil {
			panic(err)
		}
	}
	return status
}

func build(path, what string, flags ...string) {
	cmd := exec.Command("go", append(append([]string{"build", "-o", path}, flags...), what)...)
	cmd.Dir = filepath.Join("..", "..")
	if !slices.Contains(flags, "-race") { // as a release is built; the race detector needs cgo
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	}
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		panic(err)
	}
}

// machine is a user's machine: a home, an environment, maybe a keyring.
type machine struct {
	t       testing.TB
	home    string
	env     []string
	program []string // runs fob
	stdin   string   // the file that a measured command reads; "": nothing
}

func newMachine(t testing.TB, env ...string) *machine {
	t.Helper()
	home := t.TempDir()
	m := &machine{t: t, home: home, program: []string{fob}}
	m.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "NO_COLOR=1", "GORACE=atexit_sleep_ms=0", "E2E_BROWSER=1", "BROWSER=" + executable(t),
		"XDG_RUNTIME_DIR=" + runtimeDir(t),
	}, env...)
	return m
}

func executable(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// runtimeDir is short: a socket's path must be.
func runtimeDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "xdg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (m *machine) command(args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	m.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = m.env
	return cmd
}

func (m *machine) fobCommand(args ...string) *exec.Cmd {
	return m.command(slices.Concat(m.program, args)...)
}

// result is how a command ended.
type result struct {
	stdout, stderr string
	status         int
}

// fob runs fob with the given stdin.
func (m *machine) fob(stdin string, args ...string) result {
	m.t.Helper()
	cmd := m.fobCommand(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewBufferString(stdin), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// ok runs fob and expects success; it returns stdout.
func (m *machine) ok(args ...string) string {
	m.t.Helper()
	r := m.fob("", args...)
	if r.status != 0 {
		m.t.Fatalf("fob %v: exit status %d\n%s", args, r.status, r.stderr)
	}
	return r.stdout
}

// waitForExpiry waits until the access token of the profile work has expired.
func (m *machine) waitForExpiry() {
	m.t.Helper()
	eventually(m.t, func() error {
		if status := m.ok("status", "work", "--json"); strings.Contains(status, `"state": "valid"`) {
			return errors.New(status)
		}
		return nil
	})
}

// startDaemon runs a background process until the test ends.
func (m *machine) startDaemon(cmd *exec.Cmd) {
	m.t.Helper()
	cmd.Env = m.env
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

func readText(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
