package helper

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credhelper"
)

var gitOperations = []string{"get", "store", "erase", "capability"}

type gitOptions struct {
	Profile string `flag:"profile" empty:"refused" help:"use only this {PROFILE}"`
}

func newHelperGitCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "git get|store|erase|capability",
		Short: "Print credentials for git",
		Long: `Speak git's credential protocol. git runs this command itself after
'fob helper install git'.

Tokens are printed only for the hosts of a profile (git_hosts in config.toml, or
--git-host; presets have their own): scheme, host and port must match, and the path if
there is one. If the login has ended, git stops instead of asking for a password.
erase drops a token that the host has refused, never the login; store does nothing:
the login is stored already.`,
		Example: `  fob profile set work --git-host https://git.example.com
  fob helper install git
  printf 'protocol=https\nhost=git.example.com\n\n' | git credential fill`,
		ValidArgs: gitOperations,
		Args:      oneOf(gitOperations),
	}, gitOptions{}, runHelperGit, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitLoginRequired, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func oneOf(known []string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 || !slices.Contains(known, args[0]) {
			return cli.WithHint(cli.Usagef("'%s' expects %s", cmd.CommandPath(), strings.Join(known, ", ")), "see '%s --help'", cmd.CommandPath())
		}
		return nil
	}
}

func gitHosts() hosts {
	return hosts{"git_hosts", usage.HintHost, usage.URLPlace, func(p config.Profile) ([]string, string) { return p.GitHosts, p.GitUsername }}
}

func runHelperGit(ctx context.Context, a *app.App, args []string, opts gitOptions) error {
	operation := args[0]
	switch operation {
	case "capability":
		return credhelper.CapabilitiesOfGit(a.Out.Raw())
	case "store":
		return nil
	}
	asked, err := credhelper.ReadGit(a.In)
	if err != nil {
		return inputHint(err, "git")
	}
	rule, err := gitHosts().rule(a, opts.Profile, asked.Place, asked.Username)
	switch {
	case rule == nil && (err == nil || operation == "erase"):
		return err
	case operation == "erase":
		return dropRefused(ctx, a, rule.Profile, asked.Refused)
	case err == nil:
		err = answerGit(ctx, a, asked, rule)
	}
	if err != nil { // otherwise git would ask for a password
		return errors.Join(err, credhelper.QuitGit(a.Out.Raw()))
	}
	return nil
}

func answerGit(ctx context.Context, a *app.App, asked *credhelper.GitRequest, rule *credhelper.Rule) error {
	c, err := accessFor(ctx, a, rule)
	if err != nil {
		return err
	}
	return asked.WriteGit(a.Out.Raw(), c)
}
