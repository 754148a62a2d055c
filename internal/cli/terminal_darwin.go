package cli

import (
	"os"

	"golang.org/x/sys/unix"
)

// ForgetTyped discards typed input that was not read yet (tcflush(3)).
func ForgetTyped(tty *os.File) {
	const input = 1 // FREAD
	_ = unix.IoctlSetPointerInt(int(tty.Fd()), unix.TIOCFLUSH, input)
}

const (
	getTermios = unix.TIOCGETA
	setTermios = unix.TIOCSETA
)
