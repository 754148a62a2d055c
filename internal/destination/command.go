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

// command delivers by a program of this machine's own configuration: whoever names it,
// in a registry that others may write, chooses no argument.
type command struct {
	name    string
	argv    []string
	environ []string
	dry     bool
}

func parseCommand(m Machine, p location) (Destination, error) {
	argv := m.Commands[p.where]
	if len(argv) == 0 || argv[0] == "" {
		return nil, p.lacking("the configuration has no command of that name under [commands]", `name it in config.toml: under [commands], a line NAME = ["PROGRAM", "ARGUMENT"]`)
	}
	return &command{p.name, argv, m.Environ, m.ReadOnly}, nil
}

func (c *command) Name() string { return c.name }

func (c *command) Check(secret.Secret) error { return nil }

// Deliver runs the program with the value on its stdin, as it is, and no line break
// behind. A status other than 0 means that nothing was delivered.
func (c *command) Deliver(ctx context.Context, value secret.Secret) error {
	if c.dry {
		_, err := exec.LookPath(c.argv[0])
		return err
	}
	_, err := Run(ctx, c.argv, c.environ, value)
	return err
}

const (
	// commandFarewell is how long a program may take to end, once it is told to.
	commandFarewell = 2 * time.Second
	// maxOutput is how many bytes of a program's output are kept.
	maxOutput = 64 << 10
)

// Run runs a program of the configuration with a value on its stdin, and returns what
// it prints. The error has the end of its complaints, without the value.
func Run(ctx context.Context, argv, environ []string, value secret.Secret) (stdout []byte, err error) {
	var out, complaints cappedBuffer
	c := process.Command(ctx, argv[0], argv[1:]...)
	c.Env = slices.Clone(environ)
	c.Stdout, c.Stderr = &out, &complaints
	c.Cancel = func() error {
		// What the program holds half-written it can put in order, but for Windows.
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
	err = c.Run()
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

// atomicPipe is how much every system's pipe takes without a reader.
const atomicPipe = 4096

// pipeWith returns a pipe that contains all of the value: a program that outlives a killed
// fob reads all of it or is never started, so it cannot store a part.
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
		go func() { _ = write() }() // a longer one is written beside the program
		return r, nil
	}
	if err := write(); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

// withLines are a value and its lines, as a program may print them one by one.
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

// lastLine is the last line that is whole, inert: of a secret that is cut off, nobody could
// tell that it is one.
func (c *cappedBuffer) lastLine(secrets []string) string {
	text := string(c.kept)
	if c.over {
		text = text[:strings.LastIndexByte(text, '\n')+1]
	}
	lines := strings.Split(strings.TrimSpace(sanitize.Redact(text, secrets...)), "\n")
	return sanitize.RedactLine(lines[len(lines)-1], secrets...)
}
