package cmd

import (
	"os"

	"golang.org/x/term"
)

// hiddenLine reads a line without echo.
func hiddenLine(console *os.File) (string, error) {
	line, err := term.ReadPassword(int(console.Fd()))
	return string(line), err
}

// readByteByByte has nothing to do: a Windows console's lines are long enough.
func readByteByByte(*os.File) (restore func()) { return func() {} }
