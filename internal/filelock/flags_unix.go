//go:build unix

package filelock

import (
	"os"

	"golang.org/x/sys/unix"
)

// openFlags do not follow a link in place of the lock file.
const openFlags = os.O_CREATE | os.O_RDWR | unix.O_NOFOLLOW
