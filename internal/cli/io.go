// Package cli is the terminal: streams, prompts, tables, progress, errors with their hints and exit statuses.
package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// FirstArg returns the first argument, or "".
func FirstArg(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// OutliveBrokenPipe ignores SIGPIPE until the returned function is called: the signal would
// end fob before it can report what happened to keys.
func OutliveBrokenPipe() func() {
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	return func() { signal.Stop(broken) }
}

// maxInput bounds what is read from stdin, a file or a prompt.
const maxInput = 64 << 10

// IO is the streams of a command, and how it asks and prints.
type IO struct {
	In         io.Reader
	Typed      <-chan string // lines from stdin, if something reads it already
	Out, Err   Stream
	Getenv     func(string) string
	Now        func() time.Time
	Unattended bool // no questions, even on a terminal

	Notes func(line string) // gets the output of Note if the user is elsewhere
}

// ErrNoTerminal means that a question needs a terminal.
var ErrNoTerminal = errors.New("cannot ask for input: not a terminal")

// Note prints a line to the user. It wraps it on a terminal, but not elsewhere.
func (s *IO) Note(format string, args ...any) {
	if s.Notes != nil {
		for line := range strings.Lines(Sprintf(format, args...)) {
			s.Notes(strings.TrimSuffix(line, "\n"))
		}
		return
	}
	width, _ := SizeOf(s.Err)
	_ = s.Err.Print(wrapLines(Sprintf(format, args...), width) + "\n")
}

// Warn prints a warning.
func (s *IO) Warn(line string) { s.Note("warning: %s", sanitize.Lines(line)) }

// ShowError prints an error and its hint.
func (s *IO) ShowError(err error, hint string) {
	t := s.ErrTerminal()
	s.Note("%s %s", t.Red("error:"), err)
	if hint != "" {
		s.Note("%s %s", t.Cyan("hint:"), hint)
	}
}

// PrintCommand prints a command for a CI runner, unchanged.
func (s *IO) PrintCommand(line string) { fmt.Fprintln(s.Err.Raw(), line) }

// PrintJSON prints v to stdout as indented JSON.
func (s *IO) PrintJSON(v any) error { return s.writeJSON(v, "  ") }

// PrintLine prints v to stdout as one line of JSON.
func (s *IO) PrintLine(v any) error { return s.writeJSON(v, "") }

func (s *IO) writeJSON(v any, indent string) error {
	text, err := inertJSON(v, "", indent)
	if err == nil {
		_, err = s.Out.Raw().Write(text)
	}
	return err
}

// PrintJSONList prints a list like PrintJSON, but element by element.
func PrintJSONList[T any](s *IO, list iter.Seq2[T, error]) error {
	out := bufio.NewWriter(s.Out.Raw())
	before, after := "[\n  ", "[]\n"
	for v, err := range list {
		var text []byte
		if err == nil {
			text, err = inertJSON(v, "  ", "  ")
		}
		if err == nil {
			_, err = out.WriteString(before + strings.TrimSpace(string(text)))
		}
		if err != nil {
			return errors.Join(out.Flush(), err)
		}
		before, after = ",\n  ", "\n]\n"
	}
	_, _ = out.WriteString(after) // Flush returns its error
	return out.Flush()
}

// inertJSON encodes v and escapes harmful text: see sanitize.JSON.
func inertJSON(v any, prefix, indent string) ([]byte, error) {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetIndent(prefix, indent)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return sanitize.JSON(text.Bytes()), err
}

// Style colours words on a terminal, and does nothing elsewhere.
type Style struct{ on bool }

// ErrTerminal returns the style of stderr.
func (s *IO) ErrTerminal() Style { return s.StyleOf(s.Err) }

// StyleOf returns the style of a stream: colours only on a terminal, and none with
// NO_COLOR.
func (s *IO) StyleOf(out Stream) Style {
	return Style{on: IsTerminal(out) && s.Getenv("NO_COLOR") == "" && s.Getenv("TERM") != "dumb"}
}

func (s Style) paint(code, text string) Painted {
	text = sanitize.Text(text)
	if !s.on {
		return Painted(text)
	}
	return Painted("\x1b[" + code + "m" + text + "\x1b[0m")
}

// Red marks a failure.
func (s Style) Red(text string) Painted { return s.paint("1;31", text) }

// Yellow marks a warning.
func (s Style) Yellow(text string) Painted { return s.paint("33", text) }

// Green marks what is in order.
func (s Style) Green(text string) Painted { return s.paint("32", text) }

// Cyan marks a hint.
func (s Style) Cyan(text string) Painted { return s.paint("36", text) }

// Bold marks a heading.
func (s Style) Bold(text string) Painted { return s.paint("1", text) }

// IsTerminal reports whether a stream is a terminal.
func IsTerminal(in any) bool {
	f, ok := fileOf(in)
	return ok && term.IsTerminal(int(f.Fd()))
}

func fileOf(in any) (*os.File, bool) {
	if s, ok := in.(Stream); ok {
		in = s.w
	}
	f, ok := in.(*os.File)
	return f, ok
}

// SizeOf returns the size of a terminal in characters, and 0 for anything else.
func SizeOf(in any) (columns, rows int) {
	f, ok := fileOf(in)
	if !ok {
		return 0, 0
	}
	columns, rows, _ = term.GetSize(int(f.Fd()))
	return columns, rows
}

// Interactive reports whether a user can answer questions.
func (s *IO) Interactive() bool {
	return s.Getenv("CI") == "" && !s.Unattended && IsTerminal(s.In) && IsTerminal(s.Err)
}

func (s *IO) ask(ctx context.Context, question string) (string, error) {
	if !s.Interactive() {
		return "", ErrNoTerminal
	}
	_ = s.Err.Printf("%s ", question)
	return Await(ctx, func() (string, error) {
		if s.Typed != nil {
			return strings.TrimSpace(<-s.Typed), nil
		}
		line, err := bufio.NewReader(io.LimitReader(s.In, maxInput)).ReadString('\n')
		if err != nil && line == "" {
			return "", errors.New("nothing was entered")
		}
		return strings.TrimSpace(line), nil
	})
}

// Confirm asks before an action that cannot be undone. Without a terminal, it returns
// unasked.
func (s *IO) Confirm(ctx context.Context, question string, unasked error) error {
	answer, err := s.ask(ctx, question+" [y/N]")
	switch {
	case errors.Is(err, ErrNoTerminal):
		return unasked
	case err != nil:
		return err
	case !IsYes(answer):
		return errors.New("not confirmed; nothing was changed")
	}
	return nil
}

// IsYes reports whether an answer confirms.
func IsYes(answer string) bool {
	return strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes")
}

// maxTries is how often a question is asked.
const maxTries = 3

// AskUntil asks until check accepts the answer, at most maxTries times. Only a usage error
// of check leads to another try. check may normalize the answer.
func AskUntil[T any](s *IO, ask func() (T, error), check func(T) (T, error)) (T, error) {
	for try := 1; ; try++ {
		answer, err := ask()
		if err != nil {
			return answer, err
		}
		if answer, err = check(answer); err == nil || try == maxTries || !IsUsage(err) {
			return answer, err
		}
		s.Note("Try again: %s.", err)
	}
}

// AskFor reads a line that check accepts from the terminal; see AskUntil.
func (s *IO) AskFor(ctx context.Context, question string, check func(string) error) (string, error) {
	return s.AskOptional(ctx, question, func(answer string) error {
		if answer == "" {
			return Usagef("nothing was entered")
		}
		return check(answer)
	})
}

// AskOptional is AskFor, but check decides about an empty answer, too.
func (s *IO) AskOptional(ctx context.Context, question string, check func(string) error) (string, error) {
	return AskUntil(s, func() (string, error) { return s.ask(ctx, question) }, func(answer string) (string, error) { return answer, check(answer) })
}

// AnyAnswer accepts every answer but an empty one.
func AnyAnswer(string) error { return nil }

// AskPath is AskFor for a file name, in which ~/ is the home folder, as in a shell.
func (s *IO) AskPath(ctx context.Context, question string, check func(string) error) (string, error) {
	path, err := s.AskFor(ctx, question, func(answer string) error { return check(s.expandHome(answer)) })
	return s.expandHome(path), err
}

func (s *IO) expandHome(path string) string {
	rest, found := strings.CutPrefix(path, "~/")
	home := cmp.Or(s.Getenv("HOME"), s.Getenv("USERPROFILE"))
	if !found || home == "" {
		return path
	}
	return filepath.Join(home, rest)
}

// AskSecret reads a line without echo from the terminal itself, independent of stdin and
// stdout.
func (s *IO) AskSecret(ctx context.Context, question string) (secret.Secret, error) {
	if s.Unattended || s.Getenv("CI") != "" {
		return secret.Secret{}, ErrNoTerminal
	}
	tty, err := openTerminal()
	if err != nil {
		return secret.Secret{}, ErrNoTerminal
	}
	defer tty.Close()
	return s.readHidden(ctx, tty, question, func(tty *os.File) (string, error) {
		text, err := term.ReadPassword(int(tty.Fd()))
		return string(text), err
	})
}

// readHidden reads a line from a terminal and restores its settings.
func (s *IO) readHidden(ctx context.Context, tty *os.File, question string, read func(*os.File) (string, error)) (secret.Secret, error) {
	state, err := term.GetState(int(tty.Fd()))
	if err != nil {
		return secret.Secret{}, ErrNoTerminal
	}
	// Ctrl-C ends this function before the read: restore the echo then too.
	defer func() { _ = term.Restore(int(tty.Fd()), state) }()
	_ = s.Err.Printf("%s ", question)
	line, err := Await(ctx, func() (string, error) { return read(tty) })
	s.Note("")
	return secret.New(line), err
}

// SecretOnStdin reads a secret from stdin: to its end, or on a terminal one line without
// echo.
func (s *IO) SecretOnStdin(ctx context.Context, question string) (secret.Secret, error) {
	tty, ok := s.In.(*os.File)
	if !ok || !IsTerminal(tty) {
		return ReadSecret(s.In, "stdin")
	}
	given, err := s.readHidden(ctx, tty, question, hiddenSecret)
	if err == nil && given.IsZero() {
		err = Usagef("nothing was entered")
	}
	return given, err
}

// Await runs a read that cannot be cancelled, and stops waiting for it when ctx ends: fob
// then exits.
func Await[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers, done := make(chan answer, 1), ctx.Done() // before read turns the echo off
	go func() {
		value, err := read()
		answers <- answer{value, err}
	}()
	select {
	case got := <-answers:
		return got.value, got.err
	case <-done:
		var none T
		return none, ctx.Err()
	}
}

// minPassphrase is in characters: encrypted files may be copied, and then guessed at for
// years.
const minPassphrase = 12

// CheckNewPassphrase checks the length of a passphrase for fob's files and backups.
func CheckNewPassphrase(passphrase secret.Secret) error {
	if utf8.RuneCountInString(passphrase.Reveal()) < minPassphrase {
		return WithHint(Usagef("the passphrase has fewer than %d characters", minPassphrase), "use a longer one, for instance five words")
	}
	return nil
}

// AskNewPassphrase asks for a new passphrase twice, because a typo would only be noticed
// too late.
func (s *IO) AskNewPassphrase(ctx context.Context, question string) (secret.Secret, error) {
	ask := func() (secret.Secret, error) { return s.AskSecret(ctx, question) }
	return AskUntil(s, ask, func(given secret.Secret) (secret.Secret, error) {
		if err := CheckNewPassphrase(given); err != nil {
			return given, err
		}
		again, err := s.AskSecret(ctx, "Repeat the passphrase:")
		if err == nil && again.Reveal() != given.Reveal() {
			err = Usagef("the two passphrases differ")
		}
		return given, err
	})
}

// NewPassphraseIn reads a new passphrase from a file.
func NewPassphraseIn(path string) (secret.Secret, error) {
	passphrase, err := ReadSecretFile(path)
	if err == nil {
		err = CheckNewPassphrase(passphrase)
	}
	return passphrase, err
}

// OpenArgument opens a file named by the user. A shell's <(…) is a pipe with a writer;
// other pipes are rejected, because a writer may never come.
func OpenArgument(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() && (info.Mode()&fs.ModeNamedPipe == 0 || !strings.HasPrefix(path, "/dev/fd/")) {
		err = Usagef("%s is not a regular file", path)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// ReadSecretFile reads a secret from a file, without a newline at its end.
func ReadSecretFile(path string) (secret.Secret, error) {
	f, err := OpenArgument(path)
	if err != nil {
		return secret.Secret{}, err
	}
	defer f.Close()
	return ReadSecret(f, path)
}

// ReadSecret reads a secret to the end of a stream; from is its name in errors.
func ReadSecret(r io.Reader, from string) (secret.Secret, error) {
	text, err := io.ReadAll(io.LimitReader(sanitize.NewReader(r), maxInput+1))
	if err != nil {
		return secret.Secret{}, fmt.Errorf("reading a secret from %s: %w", from, err)
	}
	value := strings.TrimRight(string(text), "\r\n")
	switch {
	case value == "":
		return secret.Secret{}, WithHint(Usagef("%s is empty", from), "write the secret to it; in a script, check the command that produces it")
	case len(text) > maxInput:
		return secret.Secret{}, Usagef("more than %d bytes in %s", maxInput, from)
	}
	return secret.New(value), nil
}
