package cli

import (
	"os"

	"golang.org/x/sys/unix"
)

// ForgetTyped drops what was typed and not yet read (tcflush(3)).
func ForgetTyped(tty *os.File) {
	const input = 1 // FREAD
	_ = unix.IoctlSetPointerInt(int(tty.Fd()), unix.TIOCFLUSH, input)
}

const (
	getTermios = unix.TIOCGETA
	setTermios = unix.TIOCSETA
)
