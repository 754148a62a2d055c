package helper

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/credhelper"
	"github.com/fobcli/fob/internal/sanitize"
)

// placeOptions are where fob is installed or uninstalled.
type placeOptions struct {
	Global bool `flag:"global" help:"in your own git configuration (the default)"`
	Local  bool `flag:"local" not:"global" help:"in the repository of the working directory"`
	DryRun bool `flag:"dry-run" help:"print the commands without running them"`
}

type installOptions struct {
	placeOptions
	Profile string `flag:"profile" empty:"refused" help:"only the hosts of this {PROFILE}"`
}

func newHelperInstallCmd(a *app.App) *cobra.Command {
	c := usage.Command(a, &cobra.Command{
		Use:   "install git",
		Short: "Use fob in git or an MCP client",
		Long: `With git: add fob to git's configuration for each host of the profiles (git_hosts, see
'fob profile show'). Other helpers stay, and a second call changes nothing.
With --profile, git uses only that profile, for its hosts. A host has one profile: to
replace it, uninstall fob first.`,
		Example: `  fob helper install git
  fob helper install git --profile work --local
  fob helper install git --dry-run`,
		ValidArgs: []string{"git"},
		Args:      oneOf([]string{"git", "mcp"}),
	}, installOptions{}, runInstallGit, cli.ExitDone, cli.ExitFailed, cli.ExitUsage)
	c.AddCommand(newInstallMCPCmd(a))
	return c
}

func newHelperUninstallCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "uninstall git",
		Short: "Remove fob from git's configuration",
		Long: `Remove what 'fob helper install git' has added, even if the profiles have changed.
Other helpers stay.`,
		Example:   "  fob helper uninstall git",
		ValidArgs: []string{"git"},
		Args:      oneOf([]string{"git"}),
	}, placeOptions{}, runUninstallGit, cli.ExitDone, cli.ExitFailed, cli.ExitUsage)
}

func runInstallGit(ctx context.Context, a *app.App, _ []string, opts installOptions) error {
	rules, err := gitHosts().rules(a, opts.Profile)
	if err != nil {
		return err
	}
	for _, r := range rules {
		if _, err := gitHosts().rule(a, opts.Profile, r.Place, r.Username); err != nil {
			return err
		}
	}
	if len(rules) == 0 {
		return cli.WithHint(cli.Usagef("no profile has a git host"), "add one: 'fob profile set PROFILE --git-host https://HOST'; the presets github, gitlab and bitbucket have theirs")
	}
	self, err := executablePath()
	if err != nil {
		return err
	}
	git, err := newGitConfig(a, opts.placeOptions)
	if err != nil {
		return err
	}
	if err := git.Install(ctx, rules, filepath.ToSlash(self), opts.Profile); err != nil {
		if used, ok := errors.AsType[*credhelper.UsedError](err); ok {
			return cli.WithHint(cli.AsUsage(err), "to replace it, run 'fob helper uninstall git %s', then this command again", used.Scope)
		}
		return gitHint(err)
	}
	if git.Changes == 0 {
		a.Note("git uses fob already.")
	} else if !opts.DryRun {
		a.Note("git now uses fob; 'fob helper uninstall git' undoes this.")
	}
	others, err := git.OtherHelpers(ctx)
	if len(others) > 0 {
		a.Note("git also uses %s, and up to version 2.45 passes it the tokens of fob; 'store' would store them in plain text.", sanitize.Line(strings.Join(others, ", ")))
	}
	return gitHint(err)
}

func runUninstallGit(ctx context.Context, a *app.App, _ []string, opts placeOptions) error {
	git, err := newGitConfig(a, opts)
	if err != nil {
		return err
	}
	switch err := git.Uninstall(ctx); {
	case err != nil:
		return gitHint(err)
	case git.Changes == 0:
		a.Note("git does not use fob.")
	case !opts.DryRun:
		a.Note("git no longer uses fob.")
	}
	return nil
}

// PurgeGit uninstalls fob for a purge. Without git there is nothing to do.
func PurgeGit(ctx context.Context, a *app.App, dryRun bool) {
	git, err := newGitConfig(a, placeOptions{DryRun: dryRun})
	if err == nil {
		if dryRun {
			git.DryRun = func([]string) error { return nil }
		}
		err = git.Uninstall(ctx)
	}
	switch {
	case errors.Is(err, exec.ErrNotFound):
	case err != nil:
		a.Warn(fmt.Sprintf("git may still use fob: %v", err))
	case git.Changes > 0 && dryRun:
		a.Note("would remove fob from git's configuration.")
	case git.Changes > 0:
		a.Note("git no longer uses fob.")
	}
}

func newGitConfig(a *app.App, opts placeOptions) (*credhelper.GitConfig, error) {
	environ, err := a.ChildEnviron(false, nil)
	git := &credhelper.GitConfig{Local: opts.Local, Environ: environ}
	if opts.DryRun {
		git.DryRun = func(args []string) error { return printGitCommand(a, args) }
	}
	return git, err
}

func printGitCommand(a *app.App, args []string) error {
	line := "git"
	for _, arg := range args {
		line += " " + sanitize.ShellQuote(arg)
	}
	return a.Out.Printf("%s\n", line)
}

func gitHint(err error) error {
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return cli.WithHint(err, "install git, or add its folder to PATH")
	case errors.As(err, new(*exec.ExitError)):
		return cli.WithHint(err, "--local requires a repository in the working directory; see 'git config --list --show-origin'")
	}
	return err
}
