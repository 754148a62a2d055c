package destination

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fobcli/fob/internal/process"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// command runs a program in this machine's configuration. Registries, which others may
// write to, name it but cannot choose arguments.
type command struct {
	Machine
	location
	argv []string
}

func parseCommand(m Machine, p location) (Destination, error) {
	argv := m.Commands[p.where]
	if len(argv) == 0 || argv[0] == "" {
		return nil, p.lacking("there is no such command under [commands] in config.toml", `add a line under [commands] in config.toml: NAME = ["PROGRAM", "ARGUMENT"]`)
	}
	return &command{m, p, argv}, nil
}

func (c *command) Check(secret.Secret) error { return nil }

// Deliver runs the program with exactly the value on its stdin. Any exit status but 0 means
// that nothing was delivered.
func (c *command) Deliver(ctx context.Context, value secret.Secret) error {
	if c.ReadOnly {
		_, err := exec.LookPath(c.argv[0])
		return err
	}
	_, err := Run(ctx, c.argv, c.Environ, value)
	return err
}

const (
	// commandFarewell is how long a program may take to end after SIGTERM.
	commandFarewell = 2 * time.Second
	// maxOutput bounds the stored output of a program, in bytes.
	maxOutput = 64 << 10
)

// Run runs a program of the configuration with a value on its stdin, and returns its
// output. The error contains the last line on its stderr, without the value.
func Run(ctx context.Context, argv, environ []string, value secret.Secret) (stdout []byte, err error) {
	var out, complaints cappedBuffer
	c := process.Command(ctx, argv[0], argv[1:]...)
	c.Env = slices.Clone(environ)
	c.Stdout, c.Stderr = &out, &complaints
	c.Cancel = func() error {
		// SIGTERM allows the program to clean up; Windows does not have it.
		if err := c.Process.Signal(syscall.SIGTERM); err == nil {
			return nil
		}
		return c.Process.Kill()
	}
	c.WaitDelay = commandFarewell
	stdin, err := pipeWith(value.Reveal())
	if err != nil {
		return nil, err
	}
	c.Stdin = stdin
	err = c.RunTied()
	_ = stdin.Close()
	var exit *exec.ExitError
	switch {
	case err == nil && out.over:
		return nil, fmt.Errorf("%s printed more than %d bytes", sanitize.Line(argv[0]), maxOutput)
	case err == nil:
		return out.kept, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s did not end in time: %w", sanitize.Line(argv[0]), ctx.Err())
	case errors.As(err, &exit):
		return nil, &CommandError{argv[0], exit.ExitCode(), complaints.lastLine(withLines(value.Reveal()))}
	}
	return nil, fmt.Errorf("%s cannot be run: %w", sanitize.Line(argv[0]), err)
}

// atomicPipe is how much a pipe accepts without a reader on all systems.
const atomicPipe = 4096

// pipeWith returns a pipe that contains all of the value: a program that outlives a killed
// fob (not on Linux) reads all of it or is never started, so it cannot store a part.
func pipeWith(value string) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	write := func() error {
		_, err := io.WriteString(w, value)
		return errors.Join(err, w.Close())
	}
	if len(value) > atomicPipe {
		go func() { _ = write() }() // a longer value is written while the program runs
		return r, nil
	}
	if err := write(); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

// withLines returns a value and its lines, as programs may print them separately.
func withLines(value string) []string { return append([]string{value}, strings.Fields(value)...) }

// CommandError is a program that ended with a status other than 0.
type CommandError struct {
	Program   string
	Status    int
	Complaint string // the last line on its stderr, inert
}

func (e *CommandError) Error() string {
	text := fmt.Sprintf("%s ended with status %d", sanitize.Line(e.Program), e.Status)
	if e.Complaint != "" {
		text += ": " + e.Complaint
	}
	return text
}

// cappedBuffer stores the first bytes of an output and discards the rest, so that the
// program never blocks.
type cappedBuffer struct {
	kept []byte
	over bool
}

func (c *cappedBuffer) Write(p []byte) (int, error) {
	fits := min(len(p), maxOutput-len(c.kept))
	c.kept = append(c.kept, p[:fits]...)
	c.over = c.over || fits < len(p)
	return len(p), nil
}

// lastLine returns the last complete line, inert: a secret that was cut off could not be
// recognized and hidden.
func (c *cappedBuffer) lastLine(secrets []string) string {
	text := string(c.kept)
	if c.over {
		text = text[:strings.LastIndexByte(text, '\n')+1]
	}
	lines := strings.Split(strings.TrimSpace(sanitize.Redact(text, secrets...)), "\n")
	return sanitize.RedactLine(lines[len(lines)-1], secrets...)
}
