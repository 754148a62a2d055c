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
)

type execOptions struct {
	variables []string
	file      string
	mask      bool
	identity  bool // the program may get the CI job's
	argv      []string
}

// The statuses of exec's own failures, as env(1) has them; all others are the child's.
const (
	exitExecFailed      = 125
	exitNotExecutable   = 126
	exitCommandNotFound = 127
)

func New(a *app.App) *cobra.Command {
	var opts execOptions
	c := &cobra.Command{
		Use:   "exec [flags] -- COMMAND [ARGUMENT…]",
		Short: "Run a program with tokens and secrets in its environment",
		Long: `Run a program with the variables that are named, and no other secret of fob's. Fresh
tokens (token/PROFILE) and secrets (secret/NAME) stand in that program's environment
alone: in no argument, no file and no other process's. It has this terminal and all
signals, and its status is fob's.

A file of variables may refer to them, once you allow it, and is resolved in memory:

  API_TOKEN=fob://token/work
  DATABASE_URL=postgres://shop:fob://secret/db/prod@localhost/shop

With --mask what the program prints passes through fob, which writes *** for each
token and secret; it has no terminal then.

` + execExitHelp,
		Example: `  fob exec --env GH_TOKEN=token/github -- gh repo list
  fob exec --env STRIPE_KEY=secret/stripe/prod -- ./shop
  fob exec --env-file .env.fob -- make deploy
  fob exec --mask --env TOKEN=token/work -- sh -c 'echo $TOKEN'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.argv = args
			return execFailed(runExec(cmd.Context(), a, opts))
		},
	}
	c.SetFlagErrorFunc(wrongExecFlag)
	c.Flags().SetInterspersed(false)
	usage.AddReferenceFlags(c, &opts.variables, &opts.file)
	c.Flags().BoolVar(&opts.mask, "mask", false, "write *** for each token and secret in what the program prints")
	addKeepIdentityFlag(c, &opts.identity)
	return c
}

func addKeepIdentityFlag(c *cobra.Command, keep *bool) {
	c.Flags().BoolVar(keep, "keep-identity", false, "pass the CI job's identity on to the program")
}

// execExitHelp is exitHelp of a command that ends as the program does which it runs.
const execExitHelp = `Exit statuses: those of the program; 125 fob failed, or the call is wrong,
  126 the program cannot be run, 127 there is no such program`

func wrongExecFlag(cmd *cobra.Command, err error) error { return execFailed(usage.WrongFlag(cmd, err)) }

// execFailed gives a failure of fob's own the status that is exec's.
func execFailed(err error) error {
	if err == nil || errors.As(err, new(*cli.StatusError)) || errors.As(err, new(*cli.SilentStatus)) {
		return err
	}
	return cli.WithStatus(err, exitExecFailed)
}

func runExec(ctx context.Context, a *app.App, opts execOptions) error {
	if len(opts.argv) == 0 {
		return cli.WithHint(cli.Usagef("there is no program to run"), "fob exec --env NAME=token/PROFILE -- COMMAND")
	}
	path, err := findProgram(opts.argv[0])
	if err != nil {
		return err
	}
	refs, err := a.ReadRefs(ctx, opts.variables, opts.file)
	if err != nil {
		return err
	}
	added, secrets, err := a.Resolve(ctx, refs)
	if err != nil {
		return err
	}
	environ, err := a.ChildEnviron(opts.identity, added)
	if err != nil {
		return err
	}
	if !opts.mask && canReplaceProcess {
		return replaceProcess(path, opts.argv, environ)
	}
	return runChild(ctx, a, path, opts, environ, secrets)
}

// findProgram looks the program up as a shell would, and never in the working folder
// unless that is named.
func findProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	if errors.Is(err, fs.ErrPermission) {
		return "", cli.WithStatus(cli.WithHint(fmt.Errorf("%s cannot be run: permission denied", name), "see its mode: chmod +x"), exitNotExecutable)
	}
	return "", cli.WithStatus(cli.WithHint(fmt.Errorf("there is no program %q", name), "see PATH, or name it by its path"), exitCommandNotFound)
}

// runChild runs the program beside fob, where fob cannot become it.
func runChild(ctx context.Context, a *app.App, path string, opts execOptions, environ, secrets []string) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, forwardedSignals()...)
	defer signal.Stop(signals)
	c := process.Command(context.WithoutCancel(ctx), path)
	c.Args, c.Env, c.Stdin, c.Stdout, c.Stderr = opts.argv, environ, a.In, a.Out.Raw(), a.Err.Raw()
	if opts.mask {
		stdout, stderr := mask.NewWriter(c.Stdout, secrets), mask.NewWriter(c.Stderr, secrets)
		defer func() { _ = errors.Join(stdout.Close(), stderr.Close()) }()
		c.Stdout, c.Stderr = stdout, stderr
	}
	if err := c.Start(); err != nil {
		return cli.WithStatus(fmt.Errorf("%s cannot be run: %w", opts.argv[0], err), exitNotExecutable)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	for {
		select {
		case s := <-signals:
			// A terminal sends what its keys mean to the child as well.
			if s != os.Interrupt && s != syscall.SIGQUIT || !cli.IsTerminal(a.In) {
				_ = c.Process.Signal(s)
			}
		case err := <-done:
			return statusOf(c.ProcessState, err)
		}
	}
}

// statusOf is a child's status as a shell has it: 128 and the signal that ended it.
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
