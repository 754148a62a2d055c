package cli

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strings"

	"github.com/fobcli/fob/internal/sanitize"
)

// ReadPasted reads lines from a terminal or a pipe until it ends. On a terminal it reads
// byte by byte and without echo: line mode cuts lines at 1,024 bytes on macOS, and a
// redirect URL contains a code. The returned function restores the terminal.
func ReadPasted(in io.Reader) (<-chan string, func()) {
	lines := make(chan string)
	restore, typed := func() {}, in
	if f, ok := in.(*os.File); ok && IsTerminal(f) {
		restore = readByteByByte(f)
	} else {
		typed = sanitize.NewReader(in)
	}
	go func() {
		defer close(lines)
		for r := bufio.NewReader(typed); ; {
			line, err := pastedLine(r)
			if line != "" {
				lines <- line
			}
			if err != nil {
				return
			}
		}
	}()
	return lines, restore
}

// readSecretLines reads one line, or all lines of a text in PEM: the shell would get the
// rest.
func readSecretLines(line func() (string, error)) (string, error) {
	text, err := line()
	if err != nil || !strings.HasPrefix(text, "-----BEGIN ") {
		return text, err
	}
	for len(text) < maxInput {
		next, err := line()
		text += "\n" + next
		if strings.HasPrefix(next, "-----END ") {
			return text, nil
		}
		if err != nil {
			return "", err
		}
	}
	return "", errors.New("what was entered begins with -----BEGIN and does not end")
}

// What a terminal in bracketed paste mode, perhaps left on by another program, adds around
// a paste.
const pasteStart, pasteEnd = "\x1b[200~", "\x1b[201~"

// pastedLine reads to the next CR or LF, dropping what exceeds maxInput.
func pastedLine(r io.ByteReader) (string, error) {
	var line []byte
	for {
		b, err := r.ReadByte()
		if err != nil || b == '\r' || b == '\n' {
			return strings.TrimSuffix(strings.TrimPrefix(string(line), pasteStart), pasteEnd), err
		}
		if len(line) < maxInput {
			line = append(line, b)
		}
	}
}
