package cmd

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/envfile"
	"github.com/fobcli/fob/internal/safetext"
)

func newAllowCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "allow FILE",
		Short: "Allow an env file to use secrets and tokens",
		Long: `Allow an env file to use the credentials it refers to. Changing a reference, or
copying the file, requires allowing it again; other edits do not. On a terminal,
'fob exec' and 'fob ci export' ask.

Where files are deployed, config.toml can allow references by folder instead:

  [env_files]
  "/srv/shop" = ["secret/db/prod", "token/work"]

In the workspace of a CI job approvals and [env_files] are ignored: there the
workflow allows such files by FOB_ALLOW_CONFIG_COMMANDS=1.

` + exitHelp(exitDone, exitFailed, exitUsage, exitStorage, exitInterrupted),
		Example: `  fob allow .env.fob`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return withHint(usagef("'%s' takes the path of one file", cmd.CommandPath()), "as in 'fob allow .env.fob'")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := readEnvFile(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if why, err := vetEnvFile(args[0], f, a.getenv); why != "" || err != nil {
				if err == nil {
					a.note("Nothing to allow: %s %s.", quotedPath(f.Path), why)
				}
				return err
			}
			approvals, err := a.approvals(f)
			if err == nil {
				err = approvals.Add(f)
			}
			if err == nil {
				a.note("Allowed: %s", usesText(f))
			}
			return err
		},
	}
}

// approvalsDir is where fob remembers which env files the user has allowed.
func approvalsDir(paths config.Paths) string { return filepath.Join(paths.Data, "env-files") }

func (a *app) approvals(f *envfile.File) (envfile.Approvals, error) {
	if f.Path == "" {
		return envfile.Approvals{}, withHint(usagef("references are accepted from files only, not from a pipe"), "write them to a file, or give each by --env NAME=secret/NAME")
	}
	paths, err := a.paths()
	return envfile.Approvals{Dir: approvalsDir(paths)}, err
}

// usesText shows a file and which variable gets which credential from it. Whoever wrote
// the file may have chosen its path.
func usesText(f *envfile.File) painted {
	name := quotedPath(f.Path)
	if f.Target != f.Path {
		name += " (a link to " + quotedPath(f.Target) + ")"
	}
	lines := []string{name + " uses"}
	for _, use := range f.Uses() {
		name, reference, _ := strings.Cut(use, "=")
		lines = append(lines, fmt.Sprintf("  %s  (%s)", reference, name))
	}
	return painted(strings.Join(lines, "\n"))
}

func quotedPath(path string) string { return quoteSh(inertPath(path)) }

// vetEnvFile says why a file needs no approval, if so. The path is as it was given: the
// links on its way count in a CI job.
func vetEnvFile(path string, f *envfile.File, getenv func(string) string) (unneeded string, err error) {
	if len(f.Uses()) == 0 {
		return "refers to no credential", nil
	}
	inWorkspace, err := config.VetEnvFile(path, getenv)
	if err == nil && inWorkspace {
		unneeded = "is in the workspace of a CI job, and the workflow allows it"
	}
	return unneeded, err
}

// checkAllowed asks, once, whether an env file may use what it refers to: whoever wrote it
// chooses what the program gets, and the user's own clone may have come from anyone.
func (a *app) checkAllowed(ctx context.Context, path string, f *envfile.File) error {
	if unneeded, err := vetEnvFile(path, f, a.getenv); unneeded != "" || err != nil {
		return err
	}
	approvals, err := a.approvals(f)
	if err != nil {
		return err
	}
	cfg, err := a.config()
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
	if a.interactive() {
		a.note("%s", usesText(f))
	}
	unasked := withHint(usagef("%s may not use %s without confirmation (not a terminal)", quotedPath(f.Path), strings.Join(rest, ", ")),
		"review the file, then %srun 'fob allow %s'", partly, safetext.ShellQuote(f.Path))
	if err := a.confirm(ctx, "Give these credentials to the program, now and later?", unasked); err != nil {
		return err
	}
	return approvals.Add(f)
}
