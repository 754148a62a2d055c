package process

import (
	"os"

	"golang.org/x/sys/unix"
)

// shownEnviron is what the system shows of this process: its arguments and environment.
func shownEnviron() ([]byte, error) { return unix.SysctlRaw("kern.procargs2", os.Getpid()) }
