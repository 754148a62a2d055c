package doctor

import (
	"io/fs"

	"golang.org/x/sys/windows"
)

// freeBytes returns the space available to this user.
func freeBytes(dir string) (uint64, error) {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, &fs.PathError{Op: "space", Path: dir, Err: err}
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return 0, &fs.PathError{Op: "space", Path: dir, Err: err}
	}
	return free, nil
}
