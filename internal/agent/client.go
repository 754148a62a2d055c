package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/fobcli/fob/internal/atomicfile"
)

// patience is how long a client waits for a sign of life: an agent that was stopped, or
// that is none, keeps nobody waiting.
const patience = 2 * time.Second

// maxAnswer bounds a line of an answer: a token endpoint's answer is under 1 MiB.
const maxAnswer = 2 << 20

// Ask asks the agent at a socket, and shows the notes that come before its last answer.
// The error is ErrAbsent, ErrNoAnswer, atomicfile.ErrUnsafe or that of ctx.
func Ask(ctx context.Context, path string, r Request, note func(line string)) (Answer, error) {
	conn, err := dial(ctx, path)
	switch {
	case err != nil && ctx.Err() != nil:
		return Answer{}, ctx.Err()
	case errors.Is(err, atomicfile.ErrUnsafe):
		return Answer{}, err
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED):
		return Answer{}, fmt.Errorf("%w: %s", ErrAbsent, path)
	case err != nil:
		return Answer{}, fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	line, err := json.Marshal(r)
	if err != nil {
		return Answer{}, err
	}
	_ = conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := conn.Write(append(line, '\n')); err != nil {
		return Answer{}, unanswered(ctx, err)
	}
	lines := bufio.NewScanner(conn)
	lines.Buffer(make([]byte, 0, 4<<10), maxAnswer)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		if !lines.Scan() {
			return Answer{}, unanswered(ctx, lines.Err())
		}
		var a Answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			return Answer{}, unanswered(ctx, errors.New("it is no agent"))
		}
		if a.Last {
			return a, nil
		}
		if a.Note != "" {
			note(a.Note)
		}
	}
}

func unanswered(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		err = errors.New("it hung up")
	}
	return fmt.Errorf("%w: %w", ErrNoAnswer, err)
}
