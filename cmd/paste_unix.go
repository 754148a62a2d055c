//go:build linux || darwin

package cmd

import (
	"os"

	"golang.org/x/sys/unix"
)

// readByteByByte turns line mode and echo off. Ctrl-C still interrupts, and
// output still ends its lines as before.
func readByteByByte(tty *os.File) (restore func()) {
	fd := int(tty.Fd())
	before, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return func() {}
	}
	raw := *before
	raw.Lflag &^= unix.ICANON | unix.ECHO
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(fd, setTermios, &raw); err != nil {
		return func() {}
	}
	return func() { _ = unix.IoctlSetTermios(fd, setTermios, before) }
}
