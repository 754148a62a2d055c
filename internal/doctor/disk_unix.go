//go:build unix

package doctor

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// freeBytes returns the space available to this user, not to root.
func freeBytes(dir string) (uint64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return stat.Bavail * uint64(stat.Bsize), nil
}
