package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/windows"
)

// openNoFollow opens a link itself, which Read then refuses.
func openNoFollow(path string) (*os.File, error) {
	return openShared(path, windows.GENERIC_READ, windows.FILE_FLAG_OPEN_REPARSE_POINT)
}

func openFollow(path string) (*os.File, error) {
	return openShared(path, windows.GENERIC_READ, windows.FILE_ATTRIBUTE_NORMAL)
}

func openNonblocking(path string) (*os.File, error) { return openFollow(path) }

// openShared opens a file so that other processes can replace it meanwhile: Windows does
// not allow that with os.Open.
func openShared(path string, access, flags uint32) (*os.File, error) {
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	return create(path, access, share, nil, windows.OPEN_EXISTING, flags)
}

func create(path string, access, share uint32, attributes *windows.SecurityAttributes, disposition, flags uint32) (*os.File, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	handle, err := windows.CreateFile(name, access, share, attributes, disposition, flags, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(handle), path), nil
}

// renameNew is a rename that does not replace. Unlike hard links, all file systems support
// it. The path is as safe as a handle: Windows does not move a folder or its parents while
// such a handle is open.
func renameNew(dir *os.Root, temp, name string) error {
	from, err := windows.UTF16PtrFromString(filepath.Join(dir.Name(), temp))
	if err != nil {
		return err
	}
	to, err := windows.UTF16PtrFromString(filepath.Join(dir.Name(), name))
	if err != nil {
		return err
	}
	return retryRename(func() error { return windows.MoveFileEx(from, to, windows.MOVEFILE_WRITE_THROUGH) })
}

func rename(dir *os.Root, temp, name string) error {
	return retryRename(func() error { return dir.Rename(temp, name) })
}

const renameWait, renameRetry = time.Second, 5 * time.Millisecond

// retryRename retries a rename while another process has one of the files open: virus
// scanners and indexers open new files for a moment, and file systems without POSIX renames
// do not replace a file that is being read.
func retryRename(rename func() error) error {
	deadline := time.After(renameWait)
	for {
		err := rename()
		if !errors.Is(err, windows.ERROR_ACCESS_DENIED) && !errors.Is(err, windows.ERROR_SHARING_VIOLATION) {
			return err
		}
		select {
		case <-deadline:
			return err
		case <-time.After(renameRetry):
		}
	}
}

// remove avoids os.Root's method, which uses a call that Wine 8 lacks.
func remove(dir *os.Root, name string) error { return os.Remove(filepath.Join(dir.Name(), name)) }

// syncDir does nothing: Windows cannot sync a folder.
func syncDir(*os.Root) error { return nil }

func checkCredential(f *os.File, path string, info fs.FileInfo) error {
	return checkFile(f, path, info)
}

func setOwner(_, _ *os.File) error { return nil }
