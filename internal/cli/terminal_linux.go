package cli

import (
	"os"

	"golang.org/x/sys/unix"
)

// ForgetTyped drops what was typed and not yet read (tcflush(3)).
func ForgetTyped(tty *os.File) { _ = unix.IoctlSetInt(int(tty.Fd()), unix.TCFLSH, unix.TCIFLUSH) }

const (
	getTermios = unix.TCGETS
	setTermios = unix.TCSETS
)
