// Package exec is the commands that run a program with credentials: exec, proxy, allow.
package exec

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/mask"
	"github.com/fobcli/fob/internal/process"
	"github.com/fobcli/fob/internal/sanitize"
)

type execOptions struct {
	usage.ReferenceFlags
	identityFlag
	Mask bool `flag:"mask" help:"replace tokens and secrets in the output by ***"`
}

type identityFlag struct {
	Identity bool `flag:"keep-identity" help:"pass the CI job's identity to the program"`
}

// Exit statuses of exec's own failures, as in env(1); all others are the child's.
const (
	exitExecFailed      = 125
	exitNotExecutable   = 126
	exitCommandNotFound = 127
)

func New(a *app.App) *cobra.Command {
	c := usage.Command(a, &cobra.Command{
		Use:   "exec [flags] -- COMMAND [ARGUMENT…]",
		Short: "Run a program with tokens and secrets",
		Long: `Run a program with fresh tokens (token/PROFILE) and secrets (secret/NAME) in its
environment. They appear in no argument, no file and no other process's environment,
and the program gets no other secret of fob's. It has this terminal and all signals,
and fob exits with its status.

An env file may refer to them, once you allow it, and is resolved in memory:

  API_TOKEN=fob://token/work
  DATABASE_URL=postgres://shop:fob://secret/db/prod@localhost/shop

With --mask, each token and secret in the program's output is replaced by ***; the
program then has no terminal.

` + execExitHelp,
		Example: `  fob exec --env GH_TOKEN=token/github -- gh repo list
  fob exec --env STRIPE_KEY=secret/stripe/prod -- ./shop
  fob exec --env-file .env.fob -- make deploy
  fob exec --mask --env TOKEN=token/work -- sh -c 'echo $TOKEN'`,
	}, execOptions{}, runExec)
	c.Flags().SetInterspersed(false)
	return withExecStatus(c)
}

// withExecStatus makes the failures of a command that runs a program exit with 125.
func withExecStatus(c *cobra.Command) *cobra.Command {
	run := c.RunE
	c.RunE = func(cmd *cobra.Command, args []string) error { return execFailed(run(cmd, args)) }
	c.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return execFailed(usage.WrongFlag(cmd, err)) })
	return c
}

// execExitHelp lists the exit statuses of a command that exits as its program does.
const execExitHelp = `Exit statuses: those of the program; 125 fob failed, or was called wrongly,
  126 the program cannot be run, 127 the program was not found`

func execFailed(err error) error {
	if err == nil || errors.As(err, new(*cli.StatusError)) || errors.As(err, new(*cli.SilentStatus)) {
		return err
	}
	return cli.WithStatus(err, exitExecFailed)
}

func runExec(ctx context.Context, a *app.App, argv []string, opts execOptions) error {
	if len(argv) == 0 {
		return cli.WithHint(cli.Usagef("no program to run"), "run 'fob exec --env NAME=token/PROFILE -- COMMAND'")
	}
	path, err := findProgram(argv[0])
	if err != nil {
		return err
	}
	refs, err := a.ReadRefs(ctx, opts.Variables, opts.Files)
	if err != nil {
		return err
	}
	added, secrets, err := a.Resolve(ctx, refs)
	if err != nil {
		return err
	}
	environ, err := a.ChildEnviron(opts.Identity, added)
	if err != nil {
		return err
	}
	if !opts.Mask && canReplaceProcess {
		return replaceProcess(path, argv, environ)
	}
	return runChild(ctx, a, path, argv, opts.Mask, environ, secrets)
}

// findProgram looks a program up as a shell does, but in the working directory only if
// its path is given.
func findProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	if errors.Is(err, fs.ErrPermission) {
		return "", cli.WithStatus(cli.WithHint(fmt.Errorf("%s cannot be run: permission denied", name), "make it executable: chmod +x %s", sanitize.ShellQuote(name)), exitNotExecutable)
	}
	return "", cli.WithStatus(cli.WithHint(fmt.Errorf("program not found: %q", name), "check PATH, or give the program's path"), exitCommandNotFound)
}

// runChild runs the program as a child, where the program cannot replace fob.
func runChild(ctx context.Context, a *app.App, path string, argv []string, masked bool, environ, secrets []string) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, forwardedSignals()...)
	defer signal.Stop(signals)
	c := process.Command(context.WithoutCancel(ctx), path)
	c.Args, c.Env, c.Stdin, c.Stdout, c.Stderr = argv, environ, a.In, a.Out.Raw(), a.Err.Raw()
	if masked {
		stdout, stderr := mask.NewWriter(c.Stdout, secrets), mask.NewWriter(c.Stderr, secrets)
		defer func() { _ = errors.Join(stdout.Close(), stderr.Close()) }()
		c.Stdout, c.Stderr = stdout, stderr
	}
	if err := c.Start(); err != nil {
		return cli.WithStatus(fmt.Errorf("%s cannot be run: %w", argv[0], err), exitNotExecutable)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	for {
		select {
		case s := <-signals:
			// A terminal sends the signals of its keys to the child, too.
			if s != os.Interrupt && s != syscall.SIGQUIT || !cli.IsTerminal(a.In) {
				_ = c.Process.Signal(s)
			}
		case err := <-done:
			return statusOf(c.ProcessState, err)
		}
	}
}

// statusOf returns a child's status as a shell does: 128 plus the signal that killed it.
func statusOf(state *os.ProcessState, err error) error {
	if err == nil {
		return nil
	}
	if !errors.As(err, new(*exec.ExitError)) {
		return err
	}
	status := state.ExitCode()
	if wait, ok := state.Sys().(syscall.WaitStatus); ok && status < 0 {
		status = 128 + int(wait.Signal())
	}
	return cli.Silent(status)
}
