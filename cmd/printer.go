package cmd

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/fobcli/fob/internal/safetext"
)

// stream is stdout or stderr. It is deliberately not an io.Writer: text that a server, a
// registry, a repository or another machine may have written reaches a terminal or a CI
// job's log only through printf, which makes it inert. What has to stay exact (a token, a
// protocol, the output of a child process) takes raw, and the list in printer_test.go
// names each function that may.
type stream struct{ w io.Writer }

func newStream(w io.Writer) stream { return stream{w} }

func (s stream) raw() io.Writer { return s.w }

// printf formats its arguments as inertf does.
func (s stream) printf(format string, args ...any) error {
	return s.write(inertf(format, args...))
}

// write writes a text whose parts are inert. Without a terminal there are no colours, and
// the text as a whole is made inert too: two harmless parts can make a command for a CI
// runner where they meet.
func (s stream) write(text string) error {
	if !isTerminal(s) {
		text = safetext.Text(text)
	}
	_, err := io.WriteString(s.w, text)
	return err
}

// painted is text with colours, or with a layout of its own, that fob made itself.
type painted string

// inertf is fmt.Sprintf with inert arguments: each becomes one line, but errors may have
// several, and painted text stays as it is.
func inertf(format string, args ...any) string {
	for i, arg := range args {
		args[i] = inertArg{arg}
	}
	return fmt.Sprintf(format, args...)
}

type inertArg struct{ value any }

func (a inertArg) Format(f fmt.State, verb rune) {
	text := fmt.Sprintf(fmt.FormatString(f, verb), a.value)
	switch a.value.(type) {
	case painted:
	case error:
		text = safetext.Lines(text)
	default:
		text = safetext.Part(text)
	}
	_, _ = io.WriteString(f, text)
}

// inertRows makes each cell of a table one harmless line. Its blanks stay: no line of a table
// is longer than the terminal is wide.
func inertRows(rows [][]string) [][]string {
	inert := make([][]string, len(rows))
	for i, row := range rows {
		for _, cell := range row {
			inert[i] = append(inert[i], strings.NewReplacer("\n", " ", "\t", " ").Replace(safetext.Text(cell)))
		}
	}
	return inert
}

// inertWriter is for packages that need an io.Writer and write whole lines.
type inertWriter struct {
	w     io.Writer
	inert func([]byte) []byte
}

func newInertWriter(w io.Writer, inert func([]byte) []byte) io.Writer { return inertWriter{w, inert} }

func (i inertWriter) Write(text []byte) (int, error) {
	_, err := i.w.Write(i.inert(text))
	return len(text), err
}

// inertCompletion is for the completions' descriptions. Backticks mark the name of a flag's
// value for --help, and a shell shows them as they are.
func inertCompletion(text []byte) []byte {
	return []byte(safetext.Text(string(bytes.ReplaceAll(text, []byte("`"), nil))))
}
