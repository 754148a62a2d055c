package ci

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/fobcli/fob/internal/process"
	"github.com/fobcli/fob/internal/secret"
)

// A program that asks a server needs a moment; one that hangs must not hang fob. Its
// own children get commandFarewell to let go of stdout.
const (
	commandTimeout  = time.Minute
	commandFarewell = 2 * time.Second
)

// run runs the identity command, without a shell and without stdin, and takes what it
// prints as the token.
func (m Machine) run(ctx context.Context, argv []string) (secret.Secret, error) {
	if len(argv) == 0 || argv[0] == "" {
		return secret.Secret{}, fmt.Errorf("%w: the profile names none", ErrCommand)
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	program := process.Command(ctx, argv[0], argv[1:]...)
	stdout := boundedBuffer{left: maxToken + len("\r\n"), full: cancel}
	program.Stdout, program.Stderr = &stdout, m.Stderr
	program.WaitDelay = commandFarewell
	err := program.Run()
	switch {
	case stdout.left < 0:
		return secret.Secret{}, fmt.Errorf("%w: %q prints more than %d bytes", ErrMalformed, argv[0], maxToken)
	case ctx.Err() != nil:
		return secret.Secret{}, fmt.Errorf("%w: %q: %w", ErrCommand, argv[0], ctx.Err())
	case err != nil:
		return secret.Secret{}, fmt.Errorf("%w: %q: %w", ErrCommand, argv[0], err)
	}
	return parseToken(stdout.text, fmt.Sprintf("the output of %q", argv[0]))
}

// boundedBuffer fails a write beyond its bound, and says so once.
type boundedBuffer struct {
	text []byte
	left int // bytes; negative: there was more
	full func()
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		b.full()
		return 0, io.ErrShortWrite
	}
	b.text = append(b.text, p...)
	return len(p), nil
}
