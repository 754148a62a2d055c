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

// open opens a file for reading, without waiting for a pipe's writer. os.OpenFile would start
// Go's poller for the file, which takes longer than reading it.
func open(path string, flags int) (*os.File, error) {
	fd, err := -1, error(unix.EINTR)
	for err == unix.EINTR { //nolint:errorlint // not wrapped
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|flags, 0)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	_, err = unix.FcntlInt(uintptr(fd), unix.F_SETFL, 0) // os.NewFile polls what does not block
	return os.NewFile(uintptr(fd), path), err
}

// openNoFollow is open for a file that must not be a link.
func openNoFollow(path string) (*os.File, error) {
	f, err := open(path, unix.O_NOFOLLOW)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%w: %s is a symbolic link", ErrUnsafe, path)
	}
	return f, err
}

func openFollow(path string) (*os.File, error) { return os.Open(path) }

// openNonblocking follows links.
func openNonblocking(path string) (*os.File, error) { return open(path, 0) }

// MkdirAll creates a private folder and its missing parents, also private.
func MkdirAll(dir string) error { return os.MkdirAll(dir, dirMode) }

func createNew(dir *os.Root, name string) (*os.File, error) {
	return dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
}

// checkOwner rejects files of another owner, or with any bit of forbidden in their mode.
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

// checkOthers is the check of ReadOwn. Root's group does not count as other users, nor does
// the group with the user's own number: on Debian, Fedora and others, each user has one,
// with a umask that makes files writable for it. In a sticky folder, others cannot replace
// the user's files. For a link only the owner matters; a device is the same for all
// writers.
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

// setOwner copies owner, group and access list of another file to a new one. Only root can
// set any owner. Without the list, the mode's group bits would grant more than before.
func setOwner(f, like *os.File) error {
	before, err := like.Stat()
	if err != nil {
		return err
	}
	info, err := f.Stat()
	want, ok := before.Sys().(*syscall.Stat_t)
	if err != nil || !ok {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || stat.Uid != want.Uid || stat.Gid != want.Gid {
		err = f.Chown(int(want.Uid), int(want.Gid))
	}
	if err != nil {
		return fmt.Errorf("its owner and group (%d:%d) cannot be preserved: run fob as root or as that user, with that group; nothing was changed: %w", want.Uid, want.Gid, err)
	}
	list := make([]byte, 64<<10) // the most that Linux stores
	const attribute = "system.posix_acl_access"
	n, err := unix.Fgetxattr(int(like.Fd()), attribute, list)
	if err == nil { // only on Linux
		return unix.Fsetxattr(int(f.Fd()), attribute, list[:n], 0)
	}
	return nil
}

// renameNew is a rename that does not replace: creating a hard link atomically fails if the
// name exists.
func renameNew(dir *os.Root, temp, name string) error {
	if err := dir.Link(temp, name); err != nil {
		return err
	}
	return dir.Remove(temp)
}

func rename(dir *os.Root, temp, name string) error { return dir.Rename(temp, name) }

func remove(dir *os.Root, name string) error { return dir.Remove(name) }

// syncDir makes the new name durable. Some network file systems cannot sync a folder
// (EINVAL) and do not need it.
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

// checkCredential accepts a file of this user or root that others can neither write nor
// read, except for members of its group (see ReadCredential).
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
