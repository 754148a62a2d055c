package cmd

import (
	"bufio"
	"bytes"
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

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/mask"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/session"
)

type execOptions struct {
	variables []string
	file      string
	mask      bool
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
		Use:   "exec --env NAME=token/PROFILE -- COMMAND [ARGUMENT…]",
		Short: "Run a program with fresh tokens in its environment",
		Long: `Run a program with the variables that are named, and no other secret of fob's. The
tokens stand in that program's environment alone: in no argument, no file and no
other process's. It has this terminal and all signals, and its status is fob's.

A file of variables may refer to tokens, and is resolved in memory:

  API_URL=https://api.example.com
  API_TOKEN=fob://token/work

With --mask what the program prints passes through fob, which writes *** for each
token; it has no terminal then.

Exit statuses:
  125  fob failed: the token could not be had, or the call is wrong
  126  the program cannot be run
  127  there is no such program
  Every other status is the program's own.`,
		Example: `  fob exec --env GH_TOKEN=token/github -- gh repo list
  fob exec --env-file .env.fob -- make deploy
  fob exec --mask --env TOKEN=token/work -- sh -c 'echo $TOKEN'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.argv = args
			return execFailed(exitExecFailed, runExec(cmd.Context(), a, opts))
		},
	}
	c.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return execFailed(exitExecFailed, withHint(usagef("%s", err), "see '%s --help'", cmd.CommandPath()))
	})
	c.Flags().SetInterspersed(false)
	c.Flags().StringArrayVar(&opts.variables, "env", nil, "a variable and where it comes from: `NAME=token/PROFILE`; repeatable")
	c.Flags().StringVar(&opts.file, "env-file", "", "variables from this `FILE`, NAME=VALUE in each line, with fob://token/PROFILE for a token")
	c.Flags().BoolVar(&opts.mask, "mask", false, "write *** for each token in what the program prints")
	return c
}

// execError is a failure with a status of exec's own.
type execError struct {
	error
	status int
}

func (e *execError) Unwrap() error { return e.error }

func execFailed(status int, err error) error {
	var own *execError
	var child *childStatus
	if err == nil || errors.As(err, &own) || errors.As(err, &child) {
		return err
	}
	return &execError{err, status}
}

// childStatus is the status of a child, which fob passes on without a word.
type childStatus struct{ status int }

func (e *childStatus) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// variableRef is a variable for the child: a text, with references to tokens in it.
type variableRef struct{ name, value string }

// reference starts a reference within a value.
const reference = "fob://token/"

func runExec(ctx context.Context, a *app, opts execOptions) error {
	if len(opts.argv) == 0 {
		return withHint(usagef("there is no program to run"), "fob exec --env NAME=token/PROFILE -- COMMAND")
	}
	path, err := findProgram(opts.argv[0])
	if err != nil {
		return err
	}
	refs, err := readRefs(opts)
	if err != nil {
		return err
	}
	added, secrets, err := a.resolve(ctx, refs)
	if err != nil {
		return err
	}
	environ := withVariables(os.Environ(), added)
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
		return "", &execError{withHint(fmt.Errorf("%s cannot be run: permission denied", name), "see its mode: chmod +x"), exitNotExecutable}
	}
	return "", &execError{withHint(fmt.Errorf("there is no program %q", name), "see PATH, or name it by its path"), exitCommandNotFound}
}

// readRefs reads --env-file, then --env, which wins.
func readRefs(opts execOptions) ([]variableRef, error) {
	var refs []variableRef
	if opts.file != "" {
		text, err := atomicfile.ReadPublic(opts.file)
		if err != nil {
			return nil, withHint(&usageError{"--env-file: " + err.Error()}, "give a file of lines NAME=VALUE")
		}
		if refs, err = parseEnvFile(opts.file, text); err != nil {
			return nil, err
		}
	}
	for _, variable := range opts.variables {
		name, source, _ := strings.Cut(variable, "=")
		profile, isToken := strings.CutPrefix(source, "token/")
		if !isToken || !isVariableName(name) || config.ValidName(profile) != nil {
			return nil, withHint(usagef("--env takes NAME=token/PROFILE"), "as in --env GH_TOKEN=token/github; what is no secret, the shell can set")
		}
		refs = append(refs, variableRef{name, reference + profile})
	}
	return refs, nil
}

// parseEnvFile reads lines NAME=VALUE. Quotes around a whole value go; # starts a
// comment at the start of a line.
func parseEnvFile(path string, text []byte) ([]variableRef, error) {
	var refs []variableRef
	lines := bufio.NewScanner(bytes.NewReader(text))
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, found := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		if !found || !isVariableName(name) {
			return nil, withHint(usagef("%s:%d is no NAME=VALUE", path, number), "comments start with #")
		}
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		if strings.ContainsRune(value, 0) {
			return nil, usagef("%s:%d: there is a NUL in the value", path, number)
		}
		refs = append(refs, variableRef{name, value})
	}
	return refs, lines.Err()
}

func isVariableName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c != '_' && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// resolve puts tokens in the place of references; each profile is asked once.
func (a *app) resolve(ctx context.Context, refs []variableRef) (added map[string]string, secrets []string, err error) {
	added = make(map[string]string)
	tokens := make(map[string]secret.Secret)
	for _, ref := range refs {
		var value strings.Builder
		rest := ref.value
		for {
			before, behind, found := strings.Cut(rest, reference)
			value.WriteString(before)
			if !found {
				break
			}
			end := strings.IndexFunc(behind, func(r rune) bool { return r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9') })
			if end < 0 {
				end = len(behind)
			}
			name := behind[:end]
			rest = behind[end:]
			if tokens[name].IsZero() {
				if tokens[name], err = a.tokenFor(ctx, name); err != nil {
					return nil, nil, err
				}
				secrets = append(secrets, tokens[name].Reveal())
			}
			value.WriteString(tokens[name].Reveal())
		}
		added[ref.name] = value.String()
	}
	return added, secrets, nil
}

// tokenFor is what 'fob token NAME' prints.
func (a *app) tokenFor(ctx context.Context, name string) (secret.Secret, error) {
	if err := config.ValidName(name); err != nil {
		return secret.Secret{}, &usageError{err.Error()}
	}
	want, err := a.tokenRequest(tokenOptions{})
	if err != nil {
		return secret.Secret{}, err
	}
	given, err := a.givenToken(name, want)
	if err != nil {
		return secret.Secret{}, err
	}
	if given != nil {
		return given.Value, nil
	}
	p, err := a.profile([]string{name})
	if err != nil {
		return secret.Secret{}, err
	}
	var token *session.Token
	if token, err = a.token(ctx, p, want); err != nil {
		return secret.Secret{}, forProfile(err, name)
	}
	return token.Value, nil
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
	// Ctrl-C is the child's to act on. What only fob was sent is passed on.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	c := exec.CommandContext(context.WithoutCancel(ctx), path)
	c.Args, c.Env, c.Stdin, c.Stdout, c.Stderr = opts.argv, environ, a.stdin, a.stdout, a.stderr
	if opts.mask {
		stdout, stderr := mask.NewWriter(a.stdout, secrets), mask.NewWriter(a.stderr, secrets)
		defer func() { _ = errors.Join(stdout.Close(), stderr.Close()) }()
		c.Stdout, c.Stderr = stdout, stderr
	}
	if err := c.Start(); err != nil {
		return &execError{fmt.Errorf("%s cannot be run: %w", opts.argv[0], err), exitNotExecutable}
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	for {
		select {
		case s := <-signals:
			if s == syscall.SIGTERM || !isTerminal(a.stdin) {
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
	return &childStatus{status}
}
