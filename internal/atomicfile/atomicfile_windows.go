package atomicfile

import (
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// openNoFollow opens a link itself, which Read then refuses, and lets a sibling
// replace the file meanwhile: Windows forbids that for os.Open's handles.
func openNoFollow(path string) (*os.File, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	handle, err := windows.CreateFile(name, windows.GENERIC_READ, share, nil,
		windows.OPEN_EXISTING, windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(handle), path), nil
}

// checkOwner has no mode to look at: what is private on Windows is the user's
// profile, whose access list new files inherit.
func checkOwner(string, fs.FileInfo, fs.FileMode) error { return nil }

// renameNew is a rename that replaces nothing. Unlike a hard link it is one step,
// and any file system can do it. A path is as good as the folder's handle here:
// Windows moves no folder, nor one above it, while such a handle is open.
func renameNew(dir *os.Root, temp, name string) error {
	from, err := windows.UTF16PtrFromString(filepath.Join(dir.Name(), temp))
	if err != nil {
		return err
	}
	to, err := windows.UTF16PtrFromString(filepath.Join(dir.Name(), name))
	if err != nil {
		return err
	}
	return windows.MoveFileEx(from, to, windows.MOVEFILE_WRITE_THROUGH)
}

// remove does not use the folder's own: its delete goes through a call that
// Wine 8 lacks, and os.Remove through one that it has.
func remove(dir *os.Root, name string) error { return os.Remove(filepath.Join(dir.Name(), name)) }

// syncDir has nothing to do: Windows cannot sync a folder.
func syncDir(*os.Root) error { return nil }
