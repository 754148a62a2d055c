//go:build unix

package filelock

import (
	"os"

	"golang.org/x/sys/unix"
)

// openFlags never follow a link that somebody put in the lock's place.
const openFlags = os.O_CREATE | os.O_RDWR | unix.O_NOFOLLOW
