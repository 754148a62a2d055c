package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

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

func newExecCmd(a *app) *cobra.Command {
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
	addReferenceFlags(c, &opts.variables, &opts.file)
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

func wrongExecFlag(cmd *cobra.Command, err error) error { return execFailed(wrongFlag(cmd, err)) }

// execError is a failure with a status of exec's own.
type execError struct {
	error
	status int
}

func (e *execError) Unwrap() error { return e.error }

func withStatus(err error, status int) error { return &execError{err, status} }

// execFailed gives a failure of fob's own the status that is exec's.
func execFailed(err error) error {
	var own *execError
	var child *childStatus
	if err == nil || errors.As(err, &own) || errors.As(err, &child) {
		return err
	}
	return withStatus(err, exitExecFailed)
}

// childStatus is a status without a word: a child's, which fob passes on, or that of an
// answer which says on stdout what there is to say.
type childStatus struct{ status int }

func (e *childStatus) Error() string { return fmt.Sprintf("exit status %d", e.status) }

func silentStatus(status int) error { return &childStatus{status} }

func runExec(ctx context.Context, a *app, opts execOptions) error {
	if len(opts.argv) == 0 {
		return withHint(usagef("there is no program to run"), "fob exec --env NAME=token/PROFILE -- COMMAND")
	}
	path, err := findProgram(opts.argv[0])
	if err != nil {
		return err
	}
	refs, err := a.readRefs(ctx, opts.variables, opts.file)
	if err != nil {
		return err
	}
	added, secrets, err := a.resolve(ctx, refs)
	if err != nil {
		return err
	}
	environ, err := a.childEnviron(opts.identity)
	if err != nil {
		return err
	}
	environ = withVariables(environ, added)
	if !opts.mask && canReplaceProcess {
		return replaceProcess(path, opts.argv, environ)
	}
	return a.runChild(ctx, path, opts, environ, secrets)
}

// findProgram looks the program up as a shell would, and never in the working folder
// unless that is named.
func findProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path, nil
	case errors.Is(err, fs.ErrPermission):
		return "", withStatus(withHint(fmt.Errorf("%s cannot be run: permission denied", name), "see its mode: chmod +x"), exitNotExecutable)
	}
	return "", withStatus(withHint(fmt.Errorf("there is no program %q", name), "see PATH, or name it by its path"), exitCommandNotFound)
}

// withVariables sets variables in an environment.
func withVariables(environ []string, added map[string]string) []string {
	result := slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		_, replaced := added[name]
		return replaced
	})
	for name, value := range added {
		result = append(result, name+"="+value)
	}
	slices.Sort(result)
	return result
}

// runChild runs the program beside fob, where fob cannot become it.
func (a *app) runChild(ctx context.Context, path string, opts execOptions, environ, secrets []string) error {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, passedOn()...)
	defer signal.Stop(signals)
	c := process.Command(context.WithoutCancel(ctx), path)
	c.Args, c.Env, c.Stdin, c.Stdout, c.Stderr = opts.argv, environ, a.stdin, a.stdout.raw(), a.stderr.raw()
	if opts.mask {
		stdout, stderr := mask.NewWriter(c.Stdout, secrets), mask.NewWriter(c.Stderr, secrets)
		defer func() { _ = errors.Join(stdout.Close(), stderr.Close()) }()
		c.Stdout, c.Stderr = stdout, stderr
	}
	if err := c.Start(); err != nil {
		return withStatus(fmt.Errorf("%s cannot be run: %w", opts.argv[0], err), exitNotExecutable)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	for {
		select {
		case s := <-signals:
			// A terminal sends what its keys mean to the child as well.
			if s != os.Interrupt && s != syscall.SIGQUIT || !isTerminal(a.stdin) {
				_ = c.Process.Signal(s)
			}
		case err := <-done:
			return statusOf(c.ProcessState, err)
		}
	}
}

// statusOf is a child's status as a shell has it: 128 and the signal that ended it.
func statusOf(state *os.ProcessState, err error) error {
	var exit *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &exit):
		return err
	case state.Success():
		return nil
	}
	status := state.ExitCode()
	if wait, ok := state.Sys().(syscall.WaitStatus); ok && status < 0 {
		status = 128 + int(wait.Signal())
	}
	return silentStatus(status)
}
