package cli

import (
	"os"

	"golang.org/x/term"
)

// hiddenSecret reads a line without echo, or a text in PEM.
func hiddenSecret(console *os.File) (string, error) {
	return readSecretLines(func() (string, error) {
		line, err := term.ReadPassword(int(console.Fd()))
		return string(line), err
	})
}

// readByteByByte does nothing: a Windows console's lines are long enough.
func readByteByByte(*os.File) (restore func()) { return func() {} }

// ForgetTyped does nothing: only an agent asks repeatedly, and there is none on Windows.
func ForgetTyped(*os.File) {}

func openTerminal() (*os.File, error) { return os.OpenFile("CONIN$", os.O_RDWR, 0) }
