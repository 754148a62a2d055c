package cmd

import (
	"os"

	"golang.org/x/sys/unix"
)

// forgetTyped drops what was typed and not yet read (tcflush(3)).
func forgetTyped(tty *os.File) { _ = unix.IoctlSetInt(int(tty.Fd()), unix.TCFLSH, unix.TCIFLUSH) }

const (
	getTermios = unix.TCGETS
	setTermios = unix.TCSETS
)
