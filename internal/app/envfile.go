package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/envfile"
	"github.com/fobcli/fob/internal/sanitize"
)

// ApprovalsDir is where fob remembers which env files the user has allowed.
func ApprovalsDir(paths config.Paths) string { return filepath.Join(paths.Data, "env-files") }

// Approvals are the env files that the user has allowed. A pipe cannot be allowed.
func (a *App) Approvals(f *envfile.File) (approvals envfile.Approvals, err error) {
	if f.Path == "" {
		return approvals, cli.WithHint(cli.Usagef("references are accepted from files only, not from a pipe"), "write them to a file, or set each with --env NAME=secret/NAME")
	}
	paths, err := a.Paths()
	return envfile.Approvals{Dir: ApprovalsDir(paths)}, err
}

// UsesText shows a file and which variable gets which credential. The path is as untrusted
// as the file.
func UsesText(f *envfile.File) cli.Painted {
	name := QuotedPath(f.Path)
	if f.Target != f.Path {
		name += " (a link to " + QuotedPath(f.Target) + ")"
	}
	lines := []string{name + " uses"}
	for _, use := range f.Uses() {
		name, reference, _ := strings.Cut(use, "=")
		lines = append(lines, fmt.Sprintf("  %s  (%s)", reference, name))
	}
	return cli.Painted(strings.Join(lines, "\n"))
}

// QuotedPath quotes a path so that it cannot be mistaken for more than one.
func QuotedPath(path string) string { return cli.QuoteSh(cli.InertPath(path)) }

// VetEnvFile reports why a file needs no approval, if so. The path must not be resolved: in
// a CI job the links in it count.
func VetEnvFile(path string, f *envfile.File, getenv func(string) string) (unneeded string, err error) {
	if len(f.Uses()) == 0 {
		return "refers to no credential", nil
	}
	inWorkspace, err := config.VetEnvFile(path, getenv)
	if err == nil && inWorkspace {
		unneeded = "is in the workspace of a CI job, and the workflow allows it"
	}
	return unneeded, err
}

// checkAllowed asks, once, whether an env file may use its references: its author chooses
// what the program gets, and a clone may come from anyone.
func checkAllowed(ctx context.Context, a *App, path string, f *envfile.File) error {
	if unneeded, err := VetEnvFile(path, f, a.Getenv); unneeded != "" || err != nil {
		return err
	}
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	approvals, err := a.Approvals(f)
	if err != nil {
		return err
	}
	rest, partly := f.NotAllowedBy(cfg.EnvFiles), ""
	if len(rest) == 0 {
		return nil
	}
	if len(rest) < len(f.Uses()) {
		partly = "add these to the folder's [env_files], or "
	}
	if allowed, err := approvals.Has(f); allowed || err != nil {
		return err
	}
	if a.Interactive() {
		a.Note("%s", UsesText(f))
	}
	unasked := cli.WithHint(cli.Usagef("%s may not use %s without confirmation (not a terminal)", QuotedPath(f.Path), strings.Join(rest, ", ")),
		"review the file, then %srun 'fob allow %s'", partly, sanitize.ShellQuote(f.Path))
	if err := a.Confirm(ctx, "Give these credentials to the program, now and later?", unasked); err != nil {
		return err
	}
	return approvals.Add(f)
}

// ReadEnvFile reads the file of --env-file.
func ReadEnvFile(ctx context.Context, path string) (*envfile.File, error) {
	f, err := cli.Await(ctx, func() (*envfile.File, error) { return envfile.Read(path) })
	switch syntax, ok := errors.AsType[*envfile.SyntaxError](err); {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case ok:
		return nil, cli.WithHint(cli.AsUsage(err), "%s", syntax.Hint)
	case err != nil:
		return nil, cli.WithHint(cli.Usagef("env file: %s", err), "name a file with lines NAME=VALUE")
	}
	return f, nil
}
