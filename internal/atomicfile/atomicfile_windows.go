package atomicfile

import (
	"io/fs"
	"os"

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

// syncDir has nothing to do: Windows cannot sync a folder.
func syncDir(*os.Root) error { return nil }
