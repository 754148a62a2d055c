// Package atomicfile reads and writes private files atomically: a temp file is written,
// synced and renamed, and the folder synced. Files that another user could have planted or
// can read are refused.
package atomicfile

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ErrUnsafe means that another user could read, change or have planted a file: it is a link
// or not a regular file, has another owner, or its mode or access list is too permissive.
var ErrUnsafe = errors.New("unsafe file")

// unsafeError is an ErrUnsafe with the command that fixes it.
type unsafeError struct{ what, fix string }

func (e *unsafeError) Error() string { return ErrUnsafe.Error() + ": " + e.what }

func (*unsafeError) Unwrap() error { return ErrUnsafe }

// Fix returns the command that makes the file or folder of an ErrUnsafe or *OthersError
// private, or "".
func Fix(err error) string {
	if others, ok := errors.AsType[*OthersError](err); ok && others.list != nil {
		return others.list.fix
	}
	if e, ok := errors.AsType[*unsafeError](err); ok {
		return e.fix
	}
	return ""
}

const (
	fileMode = 0o600
	dirMode  = 0o700
)

// MkdirPrivate creates a folder of mode 0700 and its parents. An existing one must be this
// user's, and others must not be able to write to it (on Windows: nor read).
func MkdirPrivate(dir string) error {
	mkdirErr := MkdirAll(dir)
	err := checkDir(dir, 0o022)
	if mkdirErr != nil && !errors.Is(err, ErrUnsafe) { // a dangling link makes MkdirAll fail too
		return mkdirErr
	}
	return err
}

// Write writes data to path atomically, with mode 0600.
func Write(path string, data []byte) error { return WriteMode(path, data, fileMode) }

// WriteMode is Write with another mode, for files without secrets.
func WriteMode(path string, data []byte, mode fs.FileMode) error {
	return writeIn(path, data, mode, rename)
}

// Replace replaces a file of other programs by what change returns for its content of at most
// limit bytes, nil if there is none. It keeps its owner, group and mode, or is not replaced. On
// Windows it becomes private. Another user who can write to the folder cannot make it read
// another file: what is read, and whose owner and mode the new one gets, is one file.
func Replace(path string, limit int64, change func(text []byte) ([]byte, error)) error {
	return replace(path, limit, change, rename)
}

// Probe returns the error that Replace would. The file stays as it is.
func Probe(path string, limit int64, change func(text []byte) ([]byte, error)) error {
	return replace(path, limit, change, func(dir *os.Root, temp, _ string) error { return remove(dir, temp) })
}

func replace(path string, limit int64, change func(text []byte) ([]byte, error), put func(dir *os.Root, temp, name string) error) error {
	return inFolder(path, func(dir *os.Root, name string) error {
		var text []byte
		mode := fs.FileMode(fileMode)
		like, info, err := openRegular(dir, name, os.O_RDONLY)
		if err == nil {
			defer like.Close()
			mode = info.Mode().Perm()
			text, err = readAll(like, path, info.Size(), limit)
		}
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			text, err = change(text)
		}
		if err != nil {
			return err
		}
		return writeTemp(dir, path, text, mode, like, put)
	})
}

// openRegular opens a regular file. It does not follow a link.
func openRegular(dir *os.Root, name string, flag int) (*os.File, fs.FileInfo, error) {
	before, err := dir.Lstat(name)
	if err == nil && !before.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s is not a regular file", ErrUnsafe, filepath.Join(dir.Name(), name))
	}
	if err != nil {
		return nil, nil, err
	}
	f, err := dir.OpenFile(name, flag|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !os.SameFile(before, info) {
		err = fmt.Errorf("%w: %s was replaced", ErrUnsafe, f.Name())
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// inFolder opens the folder of a path once, so that it cannot be swapped in between.
func inFolder(path string, do func(dir *os.Root, name string) error) error {
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return do(dir, filepath.Base(path))
}

func writeIn(path string, data []byte, mode fs.FileMode, put func(dir *os.Root, temp, name string) error) error {
	return inFolder(path, func(dir *os.Root, _ string) error { return writeTemp(dir, path, data, mode, nil, put) })
}

// Create is Write for the first of several writers; the others get fs.ErrExist. Readers
// never see an incomplete file.
func Create(path string, data []byte) error {
	return writeIn(path, data, fileMode, renameNew)
}

// Touch creates an empty private file unless something is at path already.
func Touch(path string) error {
	return inFolder(path, func(dir *os.Root, name string) error {
		f, err := createNew(dir, name)
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return f.Close()
	})
}

// writeTemp writes a temp file next to path, with the owner of like unless that is nil, and moves
// it there with put. If it fails, path is unchanged and the temp file deleted.
func writeTemp(dir *os.Root, path string, data []byte, mode fs.FileMode, like *os.File, put func(dir *os.Root, temp, name string) error) error {
	name := filepath.Base(path)
	temp := "." + name + "." + rand.Text()
	err := writeNew(dir, temp, data, mode, like)
	if err == nil {
		err = put(dir, temp, name)
	}
	if err != nil {
		if removeErr := remove(dir, temp); !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return syncDir(dir)
}

func writeNew(dir *os.Root, name string, data []byte, mode fs.FileMode, like *os.File) error {
	f, err := createNew(dir, name)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && like != nil {
		err = setOwner(f, like)
	}
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Read returns a private file of at most limit bytes. A missing one is fs.ErrNotExist; one
// that others can access is ErrUnsafe.
func Read(path string, limit int64) ([]byte, error) {
	return read(openNoFollow, path, limit, checkFile)
}

func read(open func(string) (*os.File, error), path string, limit int64, check func(*os.File, string, fs.FileInfo) error) ([]byte, error) {
	f, err := open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := check(f, path, info); err != nil {
		return nil, err
	}
	return readAll(f, path, info.Size(), limit)
}

func readAll(f *os.File, path string, size, limit int64) ([]byte, error) {
	data := make([]byte, min(size, limit)+1)
	n, err := f.Read(data)
	data = data[:n]
	if err == nil && int64(n) != size { // not a regular file, or it has just changed
		var rest []byte
		rest, err = io.ReadAll(io.LimitReader(f, limit+1-int64(n)))
		data = append(data, rest...)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return data, nil
}

// ReadPublic returns a file without secrets of at most limit bytes, with any owner,
// following links. It also reads pipes, waiting for the writer. Unlike os.ReadFile, it does
// not block a concurrent Write on Windows.
func ReadPublic(path string, limit int64) ([]byte, error) {
	return read(openFollow, path, limit, func(*os.File, string, fs.FileInfo) error { return nil })
}

// OthersError means that a user other than root owns or can write a file or folder.
type OthersError struct {
	Path    string
	Foreign bool // on Unix: it belongs to another user
	Mode    fs.FileMode
	list    *unsafeError // on Windows: its owner and access list
}

func (e *OthersError) Error() string {
	switch {
	case e.list != nil:
		return e.list.what
	case e.Foreign && isLink(e.Mode):
		return e.Path + " is a link of another user"
	case e.Foreign:
		return e.Path + " belongs to another user"
	}
	return fmt.Sprintf("%s can be written by other users (mode %04o)", e.Path, e.Mode.Perm())
}

// ReadOwn returns a file of at most limit bytes whose content fob acts on, following links.
// If another user could have written it, the error is *OthersError.
func ReadOwn(path string, limit int64) ([]byte, error) {
	return read(openNonblocking, path, limit, func(f *os.File, path string, info fs.FileInfo) error {
		if mode := info.Mode(); !mode.IsRegular() && mode&fs.ModeDevice == 0 {
			return fmt.Errorf("%s is not a regular file", path)
		}
		return checkOthers(f, path, info)
	})
}

// CheckOthers rejects a file, link or folder like ReadOwn.
func CheckOthers(path string, info fs.FileInfo) error { return checkOthers(nil, path, info) }

// CheckLinks is CheckOthers for each link in a path, since its owner chooses the target. It
// returns the path without links, up to the first part that does not exist.
func CheckLinks(path string) (string, error) {
	target, err := FollowLinks(path, func(link string, info fs.FileInfo) error {
		if filepath.Dir(link) == "/" { // root's, but sandboxes show another owner
			return nil
		}
		return CheckOthers(link, info)
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return target, err
}

// FollowLinks resolves a path like the kernel, and passes each link to visit. It returns
// the path without links, or with fs.ErrNotExist the first part that does not exist.
func FollowLinks(path string, visit func(link string, info fs.FileInfo) error) (string, error) {
	at, rest := splitPath(path)
	for links := 0; len(rest) > 0; {
		next := filepath.Join(at, rest[0]) // at has no links, so Join resolves .. correctly
		rest = rest[1:]
		info, err := os.Lstat(next)
		if err != nil {
			return next, err
		}
		if !isLink(info.Mode()) {
			at = next
			continue
		}
		target, err := os.Readlink(next)
		if err != nil && info.Mode()&fs.ModeIrregular != 0 { // such as a file in a cloud
			at = next
			continue
		}
		if links++; err == nil && links > 40 {
			err = fmt.Errorf("%s: too many links", path)
		}
		if err == nil {
			err = visit(next, info)
		}
		if err != nil {
			return "", err
		}
		root, names := splitPath(target)
		if root != "." {
			at = root
		}
		rest = append(names, rest...)
	}
	return at, nil
}

func splitPath(path string) (root string, parts []string) {
	root = filepath.VolumeName(path)
	path, isAbs := strings.CutPrefix(filepath.ToSlash(path[len(root):]), "/")
	if isAbs {
		root += string(filepath.Separator)
	}
	return cmp.Or(root, "."), strings.Split(path, "/")
}

// isLink reports symbolic links, and junctions on Windows.
func isLink(mode fs.FileMode) bool { return mode&(fs.ModeSymlink|fs.ModeIrregular) != 0 }

// IsBelow reports whether a path is root or below it. Both must be absolute and without
// links.
func IsBelow(path, root string) bool {
	inside, err := filepath.Rel(root, path)
	return err == nil && filepath.IsLocal(inside)
}

// ReadRegular returns a regular file of at most limit bytes, with any owner and mode,
// following links.
func ReadRegular(path string, limit int64) ([]byte, error) {
	return read(openNonblocking, path, limit, func(_ *os.File, path string, info fs.FileInfo) error {
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file", path)
		}
		return nil
	})
}

// ReadCredential is Read for a file from a service manager: it may belong to root and be
// readable through an access list, which appears as its group.
func ReadCredential(path string, limit int64) ([]byte, error) {
	return read(openNoFollow, path, limit, checkCredential)
}

// Append adds whole lines to an existing regular file of other programs: all of them, or
// none. It does not follow a link.
func Append(path string, lines []byte) error {
	return inFolder(path, func(dir *os.Root, name string) error {
		f, info, err := openRegular(dir, name, os.O_RDWR|os.O_APPEND)
		if err != nil {
			return err
		}
		return errors.Join(appendLines(f, info.Size(), lines), f.Close())
	})
}

func appendLines(f *os.File, size int64, lines []byte) error {
	last := []byte("\n")
	if size > 0 {
		if _, err := f.ReadAt(last, size-1); err != nil {
			return err
		}
	}
	if last[0] != '\n' {
		lines = append([]byte("\n"), lines...)
	}
	if _, err := f.Write(lines); err != nil {
		return errors.Join(err, f.Truncate(size))
	}
	return nil
}

// LstatRegular returns a file's info, or the error that Append would.
func LstatRegular(path string) (fs.FileInfo, error) {
	info, err := os.Lstat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s is not a regular file", ErrUnsafe, path)
	}
	return info, err
}

// Check returns the error that Read would, without opening the file.
func Check(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	return checkFile(nil, path, info)
}

// CheckDir rejects a folder that another user could have planted, or can read or write.
func CheckDir(dir string) error { return checkDir(dir, 0o077) }

func checkDir(dir string, forbidden fs.FileMode) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%w: %s is not a folder", ErrUnsafe, dir)
	}
	return checkOwner(nil, dir, info, forbidden)
}

func checkFile(f *os.File, path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is not a regular file", ErrUnsafe, path)
	}
	return checkOwner(f, path, info, 0o077)
}

// LeftBehind counts the temp files below a folder that killed processes left before a time;
// with remove it deletes them.
func LeftBehind(dir string, before time.Time, remove bool) (int, error) {
	n := 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !entry.Type().IsRegular() || !isTemp(entry.Name()) {
			return err
		}
		info, err := entry.Info()
		if err != nil || !info.ModTime().Before(before) {
			return nil //nolint:nilerr // it has just gone
		}
		n++
		if remove {
			return os.Remove(path)
		}
		return nil
	})
	return n, err
}

// isTemp recognizes the names of writeTemp's files: a dot, the name, a dot and rand.Text.
func isTemp(name string) bool {
	at := strings.LastIndexByte(name, '.')
	return at > 1 && name[0] == '.' && len(name)-at-1 == len(rand.Text()) && strings.Trim(name[at+1:], "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}
