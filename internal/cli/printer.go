package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/fobcli/fob/internal/sanitize"
)

// Stream is stdout or stderr. It is deliberately not an io.Writer: text that a server, a
// registry, a repository or another machine may have written reaches a terminal or a CI
// job's log only through printf, which makes it inert. What has to stay exact (a token, a
// protocol, the output of a child process) takes raw, and the list in printer_test.go
// names each function that may.
type Stream struct{ w io.Writer }

// NewStream makes a stream of a writer.
func NewStream(w io.Writer) Stream { return Stream{w} }

// Raw is the writer below, for text that has to stay exact.
func (s Stream) Raw() io.Writer { return s.w }

// Printf formats its arguments as inertf does.
func (s Stream) Printf(format string, args ...any) error {
	return s.Print(Sprintf(format, args...))
}

// Print writes a text whose parts are inert. Without a terminal there are no colours, and
// the text as a whole is made inert too: two harmless parts can make a command for a CI
// runner where they meet.
func (s Stream) Print(text string) error {
	if !IsTerminal(s) {
		text = sanitize.Text(text)
	}
	_, err := io.WriteString(s.w, text)
	return err
}

// Painted is text with colours, or with a layout of its own, that fob made itself.
type Painted string

// Sprintf is fmt.Sprintf with inert arguments: each becomes one line, but errors may have
// several, and painted text stays as it is.
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

// inertRows makes each cell of a table one harmless line. Its blanks stay: no line of a table
// is longer than the terminal is wide.
func inertRows(rows [][]string) [][]string {
	inert := make([][]string, len(rows))
	for i, row := range rows {
		for _, cell := range row {
			inert[i] = append(inert[i], strings.NewReplacer("\n", " ", "\t", " ").Replace(sanitize.Text(cell)))
		}
	}
	return inert
}

// inertWriter is for packages that need an io.Writer and write whole lines.
type inertWriter struct {
	w     io.Writer
	inert func([]byte) []byte
}

// NewInertWriter makes all text inert on its way to w.
func NewInertWriter(w io.Writer, inert func([]byte) []byte) io.Writer { return inertWriter{w, inert} }

func (i inertWriter) Write(text []byte) (int, error) {
	_, err := i.w.Write(i.inert(text))
	return len(text), err
}

// InertCompletion is for the completions' descriptions. Backticks mark the name of a flag's
// value for --help, and a shell shows them as they are.
func InertCompletion(text []byte) []byte {
	return []byte(sanitize.Text(string(bytes.ReplaceAll(text, []byte("`"), nil))))
}
