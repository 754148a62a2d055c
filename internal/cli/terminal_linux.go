package cli

import (
	"os"

	"golang.org/x/sys/unix"
)

// ForgetTyped discards typed input that was not read yet (tcflush(3)).
func ForgetTyped(tty *os.File) { _ = unix.IoctlSetInt(int(tty.Fd()), unix.TCFLSH, unix.TCIFLUSH) }

const (
	getTermios = unix.TCGETS
	setTermios = unix.TCSETS
)
