//go:build unix

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestF50UnsafeFilesAreRefused(t *testing.T) {
	for name, plant := range map[string]func(path string) error{
		"symbolic link": func(path string) error {
			target := path + ".target"
			return errors.Join(os.WriteFile(target, []byte("x"), 0o600), os.Symlink(target, path))
		},
		"dangling link": func(path string) error { return os.Symlink(path+".nowhere", path) },
		"mode 0644":     func(path string) error { return os.WriteFile(path, []byte("x"), 0o644) },
		"mode 0620":     func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, 0o620)) },
		"folder":        func(path string) error { return os.Mkdir(path, 0o700) },
		"pipe":          func(path string) error { return unix.Mkfifo(path, 0o600) },
		"device":        func(path string) error { return os.Symlink("/dev/zero", path) },
	} {
		t.Run("F50 "+name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			if err := plant(path); err != nil {
				t.Fatal(err)
			}
			if data, err := Read(path, 100); !errors.Is(err, ErrUnsafe) {
				t.Errorf("Read() = %q, %v", data, err)
			}
			if err := Check(path); !errors.Is(err, ErrUnsafe) {
				t.Errorf("Check() = %v", err)
			}
		})
	}
}

func TestReadRegular(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		os.WriteFile(path("open"), []byte("x"), 0o644),
		os.Symlink("open", path("link")),
		os.Symlink("nowhere", path("dangling")),
		os.Symlink("/dev/zero", path("device")),
		unix.Mkfifo(path("pipe"), 0o600),
		os.WriteFile(path("large"), make([]byte, 101), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"open", "link"} {
		if data, err := ReadRegular(path(name), 100); string(data) != "x" || err != nil {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	for _, name := range []string{"dangling", "device", "pipe", "large", "."} {
		if data, err := ReadRegular(path(name), 100); data != nil || err == nil {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
}

// foreign gives path to somebody else, or returns one that is root's already.
func foreign(t *testing.T, path, ofRoot string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		return ofRoot
	}
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestF50ForeignOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	path = foreign(t, path, "/etc/passwd")
	if _, err := Read(path, 1<<20); !errors.Is(err, ErrUnsafe) {
		t.Errorf("Read() = %v", err)
	}
	if err := Check(path); !errors.Is(err, ErrUnsafe) {
		t.Errorf("Check() = %v", err)
	}
	if err := MkdirPrivate(foreign(t, t.TempDir(), "/etc")); !errors.Is(err, ErrUnsafe) {
		t.Errorf("MkdirPrivate() = %v", err)
	}
}

func TestF50UnsafeFolders(t *testing.T) {
	for name, plant := range map[string]func(dir string) error{
		"symbolic link":   func(dir string) error { return os.Symlink(t.TempDir(), dir) },
		"dangling link":   func(dir string) error { return os.Symlink(dir+".nowhere", dir) },
		"file":            func(dir string) error { return os.WriteFile(dir, nil, 0o600) },
		"pipe":            func(dir string) error { return unix.Mkfifo(dir, 0o600) },
		"group can write": func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o770)) },
		"all can write":   func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777)) },
	} {
		t.Run("F50 "+name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "d")
			if err := plant(dir); err != nil {
				t.Fatal(err)
			}
			if err := MkdirPrivate(dir); !errors.Is(err, ErrUnsafe) {
				t.Errorf("MkdirPrivate() = %v", err)
			}
			if _, err := os.Lstat(dir + ".nowhere"); !errors.Is(err, os.ErrNotExist) {
				t.Error("the link was followed")
			}
		})
	}
}

func TestModes(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "a", "b")
	for range 2 { // the second time it is there already
		if err := MkdirPrivate(dir); err != nil {
			t.Fatal(err)
		}
	}
	private, public := filepath.Join(dir, "private"), filepath.Join(dir, "public")
	if err := errors.Join(Write(private, nil), WriteMode(public, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{filepath.Dir(dir): 0o700, dir: 0o700, private: 0o600, public: 0o644} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %04o", filepath.Base(path), info.Mode(), err, want)
		}
	}
}

// A reader meets the file or the link that an attacker swaps in, and never reads
// what the link leads to.
func TestF50SwappedLinkIsNeverFollowed(t *testing.T) {
	dir := t.TempDir()
	path, victim, planted := filepath.Join(dir, "f"), filepath.Join(dir, "victim"), filepath.Join(dir, "planted")
	if err := errors.Join(Write(path, []byte("own")), Write(victim, []byte("victim"))); err != nil {
		t.Fatal(err)
	}
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
			}
			if err := errors.Join(os.Symlink(victim, planted), os.Rename(planted, path), Write(path, []byte("own"))); err != nil {
				stopped <- err
				return
			}
		}
	}()
	refused := 0
	for read := 0; read < 2000 || refused == 0 && read < 1_000_000; read++ {
		data, err := Read(path, 100)
		switch {
		case errors.Is(err, ErrUnsafe):
			refused++
		case err != nil || string(data) != "own":
			t.Fatalf("Read() = %q, %v", data, err)
		}
	}
	close(stop)
	if err := <-stopped; err != nil || refused == 0 {
		t.Errorf("the link was met %d times; swapping: %v", refused, err)
	}
}

// Another name of the old file keeps the old bytes: a write never goes into a file
// that somebody linked to this place.
func TestF50WriteDoesNotReachAHardLink(t *testing.T) {
	dir := t.TempDir()
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, "f")
	if err := errors.Join(Write(victim, []byte("mine")), os.Link(victim, path), Write(path, []byte("secret"))); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(victim, 100); err != nil || string(got) != "mine" {
		t.Errorf("the other name now reads %q, %v", got, err)
	}
}

func TestF50CreateDoesNotFollowALink(t *testing.T) {
	dir := t.TempDir()
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, "f")
	if err := os.Symlink(victim, path); err != nil {
		t.Fatal(err)
	}
	if err := Create(path, []byte("secret")); !errors.Is(err, os.ErrExist) {
		t.Errorf("Create() = %v", err)
	}
	onlyFile(t, dir, "f")
}

// A link at the place of a private file is replaced, never written through.
func TestF50WriteDoesNotFollowALink(t *testing.T) {
	dir := t.TempDir()
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, "f")
	if err := errors.Join(os.WriteFile(victim, []byte("mine"), 0o600), os.Symlink(victim, path)); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("secret")); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(victim); string(got) != "mine" {
		t.Errorf("the link's target now holds %q", got)
	}
	if got, err := Read(path, 100); err != nil || string(got) != "secret" {
		t.Errorf("Read() = %q, %v", got, err)
	}
}

func TestF51FullDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := Write(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	// A file size limit is the full disk that one process can have to itself.
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limit := before
	limit.Cur = 512 << 10 // `go test` writes a log meanwhile
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	err := Write(path, make([]byte, 1<<20))
	if restoreErr := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); restoreErr != nil {
		t.Fatal(restoreErr)
	}
	if err == nil {
		t.Fatal("writing over the limit succeeded")
	}
	if got, err := Read(path, 100); err != nil || string(got) != "old" {
		t.Errorf("the old file is %q, %v", got, err)
	}
	onlyFile(t, dir, "f")
}

func TestF50UnsafeFoldersAreFound(t *testing.T) {
	for name, plant := range map[string]func(path string) error{
		"symbolic link": func(path string) error {
			return errors.Join(os.Mkdir(path+".target", 0o700), os.Symlink(path+".target", path))
		},
		"mode 0755": func(path string) error { return errors.Join(os.Mkdir(path, 0o700), os.Chmod(path, 0o755)) },
		"mode 0720": func(path string) error { return errors.Join(os.Mkdir(path, 0o700), os.Chmod(path, 0o720)) },
		"file":      func(path string) error { return os.WriteFile(path, nil, 0o600) },
	} {
		path := filepath.Join(t.TempDir(), "d")
		if err := plant(path); err != nil {
			t.Fatal(err)
		}
		if err := CheckDir(path); !errors.Is(err, ErrUnsafe) {
			t.Errorf("F50 %s: CheckDir() = %v", name, err)
		}
	}
	private := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(private, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := CheckDir(private); err != nil {
		t.Error(err)
	}
	if err := CheckDir(foreign(t, private, "/usr")); !errors.Is(err, ErrUnsafe) {
		t.Errorf("F50 foreign: CheckDir() = %v", err)
	}
	if err := CheckDir(filepath.Join(private, "nowhere")); !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
		t.Errorf("CheckDir() of none = %v", err)
	}
}

func replaceBy(text string) func([]byte) ([]byte, error) {
	return func([]byte) ([]byte, error) { return []byte(text), nil }
}

// A service that reads a file which root replaces must be able to read it afterwards.
func TestReplace_KeepsOwnerGroupAndMode(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	check := func(uid, gid int, mode fs.FileMode, text string) {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		stat := info.Sys().(*syscall.Stat_t)
		got, err := os.ReadFile(path)
		if err != nil || string(got) != text || info.Mode() != mode || int(stat.Uid) != uid || int(stat.Gid) != gid {
			t.Errorf("%q, mode %v, %d:%d, %v", got, info.Mode(), stat.Uid, stat.Gid, err)
		}
		onlyFile(t, dir, "f")
	}
	if err := errors.Join(Probe(path, 100, replaceBy("probed")), Replace(path, 100, replaceBy("new"))); err != nil {
		t.Fatal(err)
	}
	uid, gid := os.Geteuid(), os.Getegid()
	check(uid, gid, 0o600, "new")
	modes := []fs.FileMode{0o640, 0o644, 0o400, 0o660}
	for i, mode := range modes {
		if uid == 0 {
			uid, gid = 1000+i, 2000+i
		}
		if err := errors.Join(os.Chown(path, uid, gid), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(Replace(path, 100, replaceBy(mode.String())), Probe(path, 100, replaceBy("probed"))); err != nil {
			t.Fatal(err)
		}
		check(uid, gid, mode, mode.String())
		if os.Geteuid() == 0 {
			uid = 0
		}
	}
}
