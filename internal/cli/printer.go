package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/fobcli/fob/internal/sanitize"
)

// Stream is stdout or stderr. It is deliberately not an io.Writer: text that a server, a
// registry, a repository or another machine may have written must only reach a terminal or
// a CI log through Printf, which sanitizes it. Output that must be exact (a token, a
// protocol, a child's output) uses Raw; printer_test.go lists the functions that may.
type Stream struct{ w io.Writer }

// NewStream returns a stream that writes to w.
func NewStream(w io.Writer) Stream { return Stream{w} }

// Raw returns the underlying writer, for output that must be exact.
func (s Stream) Raw() io.Writer { return s.w }

// Printf is like fmt.Printf, with the arguments sanitized as by Sprintf.
func (s Stream) Printf(format string, args ...any) error {
	return s.Print(Sprintf(format, args...))
}

// Print prints a text whose parts are sanitized. If it is not to a terminal, colours are
// removed and the whole text is sanitized again: two harmless parts together can be a
// command for a CI runner.
func (s Stream) Print(text string) error {
	if !IsTerminal(s) {
		text = sanitize.Text(text)
	}
	_, err := io.WriteString(s.w, text)
	return err
}

// Painted is text with fob's own colours or layout.
type Painted string

// Sprintf is fmt.Sprintf with sanitized arguments: each becomes one line, except that
// errors may have several and Painted text is unchanged.
func Sprintf(format string, args ...any) string {
	for i, arg := range args {
		args[i] = inertArg{arg}
	}
	return fmt.Sprintf(format, args...)
}

type inertArg struct{ value any }

func (a inertArg) Format(f fmt.State, verb rune) {
	text := fmt.Sprintf(fmt.FormatString(f, verb), a.value)
	switch a.value.(type) {
	case Painted:
	case error:
		text = sanitize.Lines(text)
	default:
		text = sanitize.Part(text)
	}
	_, _ = io.WriteString(f, text)
}

// inertRows makes each cell of a table one harmless line. It keeps spaces, because table
// lines are not wider than the terminal.
func inertRows(rows [][]string) [][]string {
	oneLine, inert := strings.NewReplacer("\n", " ", "\t", " "), make([][]string, len(rows))
	for i, row := range rows {
		for _, cell := range row {
			inert[i] = append(inert[i], oneLine.Replace(sanitize.Text(cell)))
		}
	}
	return inert
}

// inertWriter is for packages that need an io.Writer and write whole lines.
type inertWriter struct {
	w     io.Writer
	inert func([]byte) []byte
}

// NewInertWriter returns a writer that sanitizes text for w.
func NewInertWriter(w io.Writer, inert func([]byte) []byte) io.Writer { return inertWriter{w, inert} }

func (i inertWriter) Write(text []byte) (int, error) {
	_, err := i.w.Write(i.inert(text))
	return len(text), err
}

// InertCompletion sanitizes the descriptions of completions, and removes the backticks that
// mark a flag's value for --help.
func InertCompletion(text []byte) []byte {
	return []byte(sanitize.Text(string(bytes.ReplaceAll(text, []byte("`"), nil))))
}
