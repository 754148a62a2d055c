// Package atomicfile reads and writes private files that are either whole or
// absent: written beside their place, synced, moved there, and the folder synced.
// What another user could have planted or can read is refused.
package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrUnsafe means that another user could read, change or have planted a file:
// it is a link or no regular file, has another owner, or its mode is too loose.
var ErrUnsafe = errors.New("unsafe file")

const (
	fileMode = 0o600
	dirMode  = 0o700
)

// MkdirPrivate makes a folder of mode 0700, and its parents. One that is there
// already must be a folder of this user that nobody else can write to.
func MkdirPrivate(dir string) error {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%w: %s is not a folder", ErrUnsafe, dir)
	}
	return checkOwner(dir, info, 0o022)
}

// Write puts data at path, with mode 0600.
func Write(path string, data []byte) error { return WriteMode(path, data, fileMode) }

// WriteMode is Write with another mode, for files that hold no secret.
func WriteMode(path string, data []byte, mode fs.FileMode) error {
	temp, err := writeTemp(path, data, mode)
	if err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(filepath.Dir(path))
}

// Create is Write for the first of many writers: the others get fs.ErrExist, and
// none sees a file that is not whole.
func Create(path string, data []byte) error {
	temp, err := writeTemp(path, data, fileMode)
	if err != nil {
		return err
	}
	err = os.Link(temp, path)
	if removeErr := os.Remove(temp); err == nil {
		err = removeErr
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// writeTemp writes and syncs a new file beside path. It leaves none behind when
// it fails.
func writeTemp(path string, data []byte, mode fs.FileMode) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	return f.Name(), errors.Join(err, f.Close())
}

// Read returns a private file of at most limit bytes. A missing one is
// fs.ErrNotExist; one that is not this user's alone is ErrUnsafe.
func Read(path string, limit int64) ([]byte, error) {
	f, err := openNoFollow(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrUnsafe, path)
	}
	if err := checkOwner(path, info, 0o077); err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return data, nil
}
