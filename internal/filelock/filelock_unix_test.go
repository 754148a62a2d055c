//go:build unix

package filelock

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fobcli/fob/internal/atomicfile"
)

func TestF50PlantedLock(t *testing.T) {
	for name, plant := range map[string]func(path string) error{
		"symbolic link": func(path string) error {
			return errors.Join(os.WriteFile(path+".victim", nil, 0o600), os.Symlink(path+".victim", path))
		},
		"dangling link": func(path string) error { return os.Symlink(path+".nowhere", path) },
		"mode 0644":     func(path string) error { return os.WriteFile(path, nil, 0o644) },
		"mode 0660":     func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, 0o660)) },
		"pipe":          func(path string) error { return unix.Mkfifo(path, 0o600) },
		"folder":        func(path string) error { return os.Mkdir(path, 0o700) },
	} {
		t.Run("F50 "+name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "work.lock")
			if err := plant(path); err != nil {
				t.Fatal(err)
			}
			if _, err := Acquire(t.Context(), path, time.Minute); !errors.Is(err, atomicfile.ErrUnsafe) {
				t.Errorf("Acquire() = %v", err)
			}
			if _, err := os.Lstat(path + ".nowhere"); !errors.Is(err, os.ErrNotExist) {
				t.Error("the link was followed")
			}
		})
	}
}

// Who is not root cannot give a lock file away, but finds none of its own in /etc.
func TestF50ForeignLock(t *testing.T) {
	path := "/etc/passwd"
	if os.Geteuid() == 0 {
		path = filepath.Join(t.TempDir(), "work.lock")
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chown(path, 65534, 65534)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Acquire(t.Context(), path, time.Minute); !errors.Is(err, atomicfile.ErrUnsafe) {
		t.Errorf("Acquire() = %v", err)
	}
}

func TestF50LooseFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Acquire(t.Context(), filepath.Join(dir, "work.lock"), time.Minute); !errors.Is(err, atomicfile.ErrUnsafe) {
		t.Errorf("Acquire() = %v", err)
	}
}

func TestNewLockIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "locks", "work.lock")
	acquire(t, path).Release()
	if err := atomicfile.Check(path); err != nil {
		t.Error(err)
	}
	acquire(t, path).Release() // a lock file that is there already serves
}

// A wait that was given up may be for a file that a purge has deleted: the lock at the
// path is free meanwhile.
func TestAPurgeLeavesNobodyInLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "work.lock")
	held := acquire(t, path)
	if _, err := Acquire(t.Context(), path, 5*time.Millisecond); !errors.Is(err, ErrTimeout) {
		t.Fatalf("a held lock: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	lock, err := Acquire(t.Context(), path, time.Second)
	if err != nil {
		t.Fatalf("after the purge: %v", err)
	}
	lock.Release()
	if !isTaken(path) {
		t.Error("nothing waits for the file that is gone")
	}
	held.Release()
	eventually(t, "nobody left", func() bool { return !isTaken(path) })
}

const holdVariable = "FILELOCK_TEST_HOLD"

// TestHolder is the other process of TestKilledHolderFreesTheLock. It holds the lock
// for as long as its stdin is open.
func TestHolder(t *testing.T) {
	path := os.Getenv(holdVariable)
	if path == "" {
		return
	}
	defer acquire(t, path).Release()
	_, _ = os.Stdout.WriteString("held\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func TestKilledHolderFreesTheLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "work.lock")
	holder := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestHolder$")
	holder.Env = append(os.Environ(), holdVariable+"="+path)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatalf("the holder says %q, %v", line, err)
	}
	if _, err := Acquire(t.Context(), path, 50*time.Millisecond); !errors.Is(err, ErrTimeout) {
		t.Errorf("held by another process: %v", err)
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait()
	acquire(t, path).Release()
}
