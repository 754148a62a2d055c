//go:build linux || darwin

package cmd

import (
	"bufio"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// hiddenLine reads a line without echo, however long it is; the caller puts the
// terminal back.
func hiddenLine(tty *os.File) (string, error) {
	readByteByByte(tty)
	line, err := pastedLine(bufio.NewReader(tty))
	if errors.Is(err, io.EOF) && line != "" {
		err = nil
	}
	return line, err
}

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
