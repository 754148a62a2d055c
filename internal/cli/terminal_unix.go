//go:build unix

package cli

import (
	"bufio"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// hiddenSecret reads a line of any length, or a text in PEM, without echo; the caller
// restores the terminal.
func hiddenSecret(tty *os.File) (string, error) {
	readByteByByte(tty)
	r := bufio.NewReader(tty)
	text, err := readSecretLines(func() (string, error) { return pastedLine(r) })
	if errors.Is(err, io.EOF) && text != "" {
		err = nil
	}
	return text, err
}

// readByteByByte turns line mode and echo off. Ctrl-C still interrupts, and output is
// unaffected.
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

func openTerminal() (*os.File, error) { return os.OpenFile("/dev/tty", os.O_RDWR, 0) }
