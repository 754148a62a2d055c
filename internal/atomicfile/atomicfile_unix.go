//go:build unix

package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// openNoFollow opens a file for reading, and neither follows a link at its end
// nor waits for a pipe's other side.
func openNoFollow(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%w: %s is a symbolic link", ErrUnsafe, path)
	}
	return f, err
}

func openFollow(path string) (*os.File, error) { return os.Open(path) }

// openAtOnce follows links, and does not wait for a pipe's other side.
func openAtOnce(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
}

// MkdirAll creates a private folder and its missing parents, also private.
func MkdirAll(dir string) error { return os.MkdirAll(dir, dirMode) }

func createNew(dir *os.Root, name string) (*os.File, error) {
	return dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
}

// checkOwner refuses what has another owner, or any bit of forbidden in its mode.
func checkOwner(_ *os.File, path string, info fs.FileInfo, forbidden fs.FileMode) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: %s belongs to another user", ErrUnsafe, path)
	}
	if mode := info.Mode().Perm(); mode&forbidden != 0 {
		return fmt.Errorf("%w: %s is open to others (mode %04o)", ErrUnsafe, path, mode)
	}
	return nil
}

// checkOthers is the check of ReadOwn. Some groups are not other users: root's, and the one
// that has the user's own number, which Debian, Fedora and others give each user alone, with
// a umask that lets it write. What others put into a sticky folder has an owner of its own.
// A link is as good as its owner; a device stays the same whoever writes to it.
func checkOthers(_ *os.File, path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	mode := info.Mode()
	writable := mode & 0o022
	if ok && (stat.Gid == 0 || stat.Gid == stat.Uid) {
		writable &^= 0o020
	}
	if mode&(fs.ModeSymlink|fs.ModeDevice) != 0 || mode.IsDir() && mode&fs.ModeSticky != 0 {
		writable = 0
	}
	foreign := !ok || stat.Uid != 0 && int(stat.Uid) != os.Geteuid()
	if foreign || writable != 0 {
		return &OthersError{Path: path, Foreign: foreign, Mode: mode}
	}
	return nil
}

// renameNew is a rename that replaces nothing: a hard link is refused where the
// name is taken, in one step.
func renameNew(dir *os.Root, temp, name string) error {
	if err := dir.Link(temp, name); err != nil {
		return err
	}
	return dir.Remove(temp)
}

func rename(dir *os.Root, temp, name string) error { return dir.Rename(temp, name) }

func remove(dir *os.Root, name string) error { return dir.Remove(name) }

// syncDir makes the new name last. Some network file systems cannot sync a folder
// (EINVAL), and keep names in their own way.
func syncDir(dir *os.Root) error {
	d, err := dir.Open(".")
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, unix.EINVAL) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

// checkCredential accepts a file of this user's or of root's that others can neither
// write nor read, a group's members apart (see ReadCredential).
func checkCredential(_ *os.File, path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%w: %s is not a regular file", ErrUnsafe, path)
	case !ok || stat.Uid != 0 && int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("%w: %s belongs to another user", ErrUnsafe, path)
	case info.Mode().Perm()&0o037 != 0:
		return fmt.Errorf("%w: %s is open to others (mode %04o)", ErrUnsafe, path, info.Mode().Perm())
	}
	return nil
}
