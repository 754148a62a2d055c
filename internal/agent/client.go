package agent

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"
	"time"

	"github.com/fobcli/fob/internal/atomicfile"
)

// aliveTimeout is how long a client waits for a sign of life: the agent may be suspended.
const aliveTimeout = 2 * time.Second

// The limits of a response. A token endpoint's response is under 1 MiB; the user may be
// asked, and a server after that.
const (
	maxAnswer = 2 << 20 // bytes of a line
	maxNotes  = 20
	maxWait   = 5 * time.Minute
)

// Ask sends a request to the agent at a socket, and passes the notes before its last answer
// to note.
// The error is ErrAbsent, ErrNoAnswer, atomicfile.ErrUnsafe or that of ctx.
func Ask(ctx context.Context, path string, r Request, note func(line string)) (Answer, error) {
	conn, err := dial(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED):
		return Answer{}, fmt.Errorf("%w: %s", ErrAbsent, path)
	case errors.Is(err, atomicfile.ErrUnsafe):
		return Answer{}, err
	case err != nil:
		return Answer{}, unanswered(ctx, err)
	}
	defer func() { _ = conn.Close() }()
	line, err := json.Marshal(r)
	if err != nil {
		return Answer{}, err
	}
	if _, err := conn.Write(append(line, '\n')); err != nil {
		return Answer{}, unanswered(ctx, err)
	}
	lines, cancel := 0, func() {}
	defer func() { cancel() }()
	a, err := readAnswer(conn, func() {
		if lines++; lines == 2 { // one line is not worth what watching ctx costs
			ctx, cancel = context.WithTimeoutCause(ctx, maxWait, fmt.Errorf("%w within %s", ErrNoAnswer, maxWait))
			context.AfterFunc(ctx, func() { hangUp(conn) })
		}
	}, note)
	if err != nil {
		return Answer{}, unanswered(ctx, err)
	}
	return a, nil
}

// readAnswer reads lines up to the last answer, and calls wait before each.
func readAnswer(r io.Reader, wait func(), note func(line string)) (Answer, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4<<10), maxAnswer)
	for notes := 0; ; {
		wait()
		if !lines.Scan() {
			return Answer{}, cmp.Or(lines.Err(), errors.New("connection closed"))
		}
		var a Answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			return Answer{}, errors.New("invalid response: not a fob agent")
		}
		if a.Last {
			return a, nil
		}
		if notes++; a.Note != "" && notes <= maxNotes {
			note(a.Note)
		}
	}
}

func unanswered(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("%w: %w", ErrNoAnswer, err)
}
