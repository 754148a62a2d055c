package atomicfile

import (
	"fmt"
	"io/fs"
	"os"
)

// openNoFollow refuses a link. Windows has no flag for that, but making a link
// there takes a privilege, and fob's folders are the user's own.
func openNoFollow(path string) (*os.File, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a regular file", ErrUnsafe, path)
	}
	return os.Open(path)
}

// checkOwner has nothing to look at: the folders of a Windows user inherit an
// access list that names the user and the system alone.
func checkOwner(string, fs.FileInfo, fs.FileMode) error { return nil }

// syncDir has nothing to do: Windows cannot sync a folder.
func syncDir(string) error { return nil }
