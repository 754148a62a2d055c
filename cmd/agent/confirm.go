package agent

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/agent"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/process"
)

// tooSoon is the minimum time to read a question: faster answers were typed before it.
const tooSoon = 300 * time.Millisecond

// newConfirmer asks on this terminal, else with the program that ssh uses (SSH_ASKPASS in
// ssh(1)). gone is called when the terminal is closed.
func newConfirmer(a *app.App, gone func()) (*agent.Confirmer, error) {
	show := func(line string) { a.Note("%s", line) }
	if a.Interactive() {
		return agent.NewConfirmer(confirmLines(a, gone), show), nil
	}
	program := a.Getenv("SSH_ASKPASS")
	if program == "" {
		return nil, cli.WithHint(cli.Usagef("--confirm requires a terminal or SSH_ASKPASS"), "run it on a terminal, or omit --confirm")
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return nil, cli.WithHint(cli.Usagef("the program in SSH_ASKPASS cannot be run"), "set it to the path of one, such as ssh-askpass")
	}
	return agent.NewConfirmer(func(ctx context.Context, question string) bool {
		child := process.Command(ctx, path, question)
		child.Env = append(os.Environ(), "SSH_ASKPASS_PROMPT=confirm")
		child.Stderr = a.Err.Raw()
		return child.Run() == nil
	}, show), nil
}

// confirmLines asks on one terminal. Lines typed before a question could be read do not
// answer it.
func confirmLines(a *app.App, gone func()) func(context.Context, string) bool {
	lines := make(chan string)
	go func() {
		for in := bufio.NewScanner(a.In); in.Scan(); {
			select {
			case lines <- strings.TrimSpace(in.Text()):
			default: // no question is open
			}
		}
		a.Note("The terminal was closed: no more questions.")
		gone()
	}()
	return func(ctx context.Context, question string) bool {
		if tty, ok := a.In.(*os.File); ok {
			cli.ForgetTyped(tty)
		}
		for {
			_ = a.Err.Printf("%s [y/N] ", question)
			asked := time.Now()
			select {
			case answer := <-lines:
				if time.Since(asked) >= tooSoon {
					return cli.IsYes(answer)
				}
			case <-ctx.Done():
				a.Note("")
				return false
			}
		}
	}
}
