package cmd

// The rules for what people see:
//
//   - stdout carries the result alone; all else goes to stderr.
//   - Colour only on a terminal, and where NO_COLOR is not set.
//   - Questions are asked on the terminal alone, never of a pipe, and never in CI.
//   - Text from elsewhere is made inert: see stream.

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/fobcli/fob/internal/safetext"
	"github.com/fobcli/fob/internal/secret"
)

// maxInput bounds what is read from stdin, a file or a prompt.
const maxInput = 64 << 10

// streams are where a command reads, and where it writes.
type streams struct {
	stdin          io.Reader
	typed          <-chan string // lines from stdin, where something reads it already
	stdout, stderr stream
	getenv         func(string) string
	now            func() time.Time
	unattended     bool // no question is asked, even on a terminal
}

var errNoTerminal = errors.New("there is no terminal to ask on")

// note writes one line for the person at the terminal. Where that is too narrow, it is
// broken between words; elsewhere it stays one line.
func (s *streams) note(format string, args ...any) {
	width, _ := sizeOf(s.stderr)
	_ = s.stderr.write(fold(inertf(format, args...), width) + "\n")
}

// warn shows what is wrong, and keeps the command from nothing.
func (s *streams) warn(line string) { s.note("warning: %s", safetext.Lines(line)) }

// showError shows what failed, and what to do next.
func (s *streams) showError(err error, hint string) {
	t := s.errTerminal()
	s.note("%s %s", t.red("error:"), err)
	if hint != "" {
		s.note("%s %s", t.cyan("hint:"), hint)
	}
}

// printJSON writes v to stdout, over several lines.
func (s *streams) printJSON(v any) error { return s.writeJSON(v, "  ") }

// printLine writes v to stdout as one line of JSON.
func (s *streams) printLine(v any) error { return s.writeJSON(v, "") }

// writeJSON may be given anything: see safetext.JSON.
func (s *streams) writeJSON(v any, indent string) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetIndent("", indent)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := s.stdout.raw().Write(safetext.JSON(text.Bytes()))
	return err
}

// style colours words on a terminal and leaves them alone elsewhere.
type style struct{ on bool }

func (s *streams) errTerminal() style { return s.styleOf(s.stderr) }

func (s *streams) styleOf(out stream) style {
	return style{on: isTerminal(out) && s.getenv("NO_COLOR") == "" && s.getenv("TERM") != "dumb"}
}

func (s style) paint(code, text string) painted {
	text = safetext.Text(text)
	if !s.on {
		return painted(text)
	}
	return painted("\x1b[" + code + "m" + text + "\x1b[0m")
}

func (s style) red(text string) painted    { return s.paint("1;31", text) }
func (s style) yellow(text string) painted { return s.paint("33", text) }
func (s style) green(text string) painted  { return s.paint("32", text) }
func (s style) cyan(text string) painted   { return s.paint("36", text) }
func (s style) bold(text string) painted   { return s.paint("1", text) }

func isTerminal(in any) bool {
	f, ok := fileOf(in)
	return ok && term.IsTerminal(int(f.Fd()))
}

func fileOf(in any) (*os.File, bool) {
	if s, is := in.(stream); is {
		in = s.w
	}
	f, ok := in.(*os.File)
	return f, ok
}

// sizeOf is a terminal's, in characters; 0 for anything else.
func sizeOf(in any) (columns, rows int) {
	f, ok := fileOf(in)
	if !ok {
		return 0, 0
	}
	columns, rows, _ = term.GetSize(int(f.Fd()))
	return columns, rows
}

// interactive reports whether somebody is there to answer a question.
func (s *streams) interactive() bool {
	return s.getenv("CI") == "" && !s.unattended && isTerminal(s.stdin) && isTerminal(s.stderr)
}

// ask reads a line from the terminal.
func (s *streams) ask(ctx context.Context, question string) (string, error) {
	if !s.interactive() {
		return "", errNoTerminal
	}
	_ = s.stderr.printf("%s ", question)
	return await(ctx, func() (string, error) {
		if s.typed != nil {
			return strings.TrimSpace(<-s.typed), nil
		}
		line, err := bufio.NewReader(io.LimitReader(s.stdin, maxInput)).ReadString('\n')
		if err != nil && line == "" {
			return "", errors.New("nothing was entered")
		}
		return strings.TrimSpace(line), nil
	})
}

// confirm asks before what cannot be taken back. Where nobody can answer, the error is
// unasked.
func (s *streams) confirm(ctx context.Context, question string, unasked error) error {
	answer, err := s.ask(ctx, question+" [y/N]")
	switch {
	case errors.Is(err, errNoTerminal):
		return unasked
	case err != nil:
		return err
	case !isYes(answer):
		return errors.New("nothing was done")
	}
	return nil
}

func isYes(answer string) bool {
	return strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes")
}

// tries is how often a question is asked before fob gives up.
const tries = 3

// askUntil asks until the answer is one that check takes, three times at most. An error
// that is no fault of the answer ends it. check may write the answer in another way.
func askUntil[T any](s *streams, ask func() (T, error), check func(T) (T, error)) (T, error) {
	for try := 1; ; try++ {
		answer, err := ask()
		if err != nil {
			return answer, err
		}
		if answer, err = check(answer); err == nil || try == tries || !isUsageError(err) {
			return answer, err
		}
		s.note("Not that: %s.", err)
	}
}

// askFor reads a line from the terminal that check takes, and again after a slip.
func (s *streams) askFor(ctx context.Context, question string, check func(string) error) (string, error) {
	return askUntil(s, func() (string, error) { return s.ask(ctx, question) }, func(answer string) (string, error) {
		if answer == "" {
			return "", usagef("nothing was entered")
		}
		return answer, check(answer)
	})
}

// anything takes every answer that is one.
func anything(string) error { return nil }

// askPath is askFor for the name of a file; ~/ is the home folder, as in a shell.
func (s *streams) askPath(ctx context.Context, question string, check func(string) error) (string, error) {
	path, err := s.askFor(ctx, question, func(answer string) error { return check(s.expandHome(answer)) })
	return s.expandHome(path), err
}

func (s *streams) expandHome(path string) string {
	rest, found := strings.CutPrefix(path, "~/")
	home := cmp.Or(s.getenv("HOME"), s.getenv("USERPROFILE"))
	if !found || home == "" {
		return path
	}
	return filepath.Join(home, rest)
}

// askSecret reads a line without echo from the terminal itself, so that a
// script's stdin and stdout stay its own.
func (s *streams) askSecret(ctx context.Context, question string) (secret.Secret, error) {
	if s.unattended || s.getenv("CI") != "" {
		return secret.Secret{}, errNoTerminal
	}
	tty, err := openTerminal()
	if err != nil {
		return secret.Secret{}, errNoTerminal
	}
	defer tty.Close()
	return s.readHidden(ctx, tty, question, func(tty *os.File) (string, error) {
		text, err := term.ReadPassword(int(tty.Fd()))
		return string(text), err
	})
}

// readHidden reads a line from a terminal and leaves the terminal as it was.
func (s *streams) readHidden(ctx context.Context, tty *os.File, question string, read func(*os.File) (string, error)) (secret.Secret, error) {
	state, err := term.GetState(int(tty.Fd()))
	if err != nil {
		return secret.Secret{}, errNoTerminal
	}
	// Ctrl-C returns before the read does: put the echo back then too.
	defer func() { _ = term.Restore(int(tty.Fd()), state) }()
	_ = s.stderr.printf("%s ", question)
	line, err := await(ctx, func() (string, error) { return read(tty) })
	s.note("")
	return secret.New(line), err
}

// secretOnStdin reads a secret from stdin: to its end, or where that is a terminal a
// line without echo.
func (s *streams) secretOnStdin(ctx context.Context, question string) (secret.Secret, error) {
	tty, ok := s.stdin.(*os.File)
	if !ok || !isTerminal(tty) {
		return readSecret(s.stdin, "stdin")
	}
	given, err := s.readHidden(ctx, tty, question, hiddenSecret)
	if err == nil && given.IsZero() {
		err = usagef("nothing was entered")
	}
	return given, err
}

// await runs a read that cannot be cancelled, and stops waiting for it when ctx
// ends: fob exits then, and the read with it.
func await[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() {
		value, err := read()
		answers <- answer{value, err}
	}()
	select {
	case got := <-answers:
		return got.value, got.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// shortestPassphrase is that of a file which may be copied, and guessed at for years.
const shortestPassphrase = 12

// checkNewPassphrase is the one rule for what opens fob's files and backups.
func checkNewPassphrase(passphrase secret.Secret) error {
	if utf8.RuneCountInString(passphrase.Reveal()) < shortestPassphrase {
		return withHint(usagef("the passphrase is too short"), "take %d characters or more, for instance five words", shortestPassphrase)
	}
	return nil
}

// askNewPassphrase asks for a new passphrase, and for the same once more: a slip would
// not show before it is too late.
func (s *streams) askNewPassphrase(ctx context.Context, question string) (secret.Secret, error) {
	ask := func() (secret.Secret, error) { return s.askSecret(ctx, question) }
	return askUntil(s, ask, func(given secret.Secret) (secret.Secret, error) {
		if err := checkNewPassphrase(given); err != nil {
			return given, err
		}
		again, err := s.askSecret(ctx, "The same again:")
		if err == nil && again.Reveal() != given.Reveal() {
			err = usagef("the two passphrases differ; nothing was changed")
		}
		return given, err
	})
}

// newPassphraseIn reads a new passphrase from a file.
func newPassphraseIn(path string) (secret.Secret, error) {
	passphrase, err := readSecretFile(path)
	if err == nil {
		err = checkNewPassphrase(passphrase)
	}
	return passphrase, err
}

// readSecretFile reads a secret from a file, without the newline at its end.
func readSecretFile(path string) (secret.Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return secret.Secret{}, err
	}
	defer f.Close()
	return readSecret(f, path)
}

// readSecret reads a secret to the end of a stream; from names it in errors.
func readSecret(r io.Reader, from string) (secret.Secret, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	if err != nil {
		return secret.Secret{}, fmt.Errorf("reading a secret from %s: %w", from, err)
	}
	value := strings.TrimRight(string(text), "\r\n")
	switch {
	case value == "":
		return secret.Secret{}, usagef("there is no secret in %s", from)
	case len(text) > maxInput:
		return secret.Secret{}, usagef("more than %d bytes in %s", maxInput, from)
	}
	return secret.New(value), nil
}
