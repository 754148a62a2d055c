package exec

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
)

func NewAllowCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "allow FILE",
		Short: "Allow an env file to use secrets and tokens",
		Long: `Allow an env file to use the credentials it refers to. Changing a reference, or
copying the file, requires allowing it again; other edits do not. On a terminal,
'fob exec' and 'fob ci export' ask.

Where files are deployed, config.toml can allow references by folder instead:

  [env_files]
  "/srv/shop" = ["secret/db/prod", "token/work"]

In the workspace of a CI job approvals and [env_files] are ignored: there the
workflow allows such files with FOB_ALLOW_CONFIG_COMMANDS=1.`,
		Example: `  fob allow .env.fob`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.WithHint(cli.Usagef("'%s' takes one env file", cmd.CommandPath()), "run 'fob allow .env.fob'")
			}
			return nil
		},
	}, usage.NoFlags{}, runAllow, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage, cli.ExitInterrupted)
}

func runAllow(ctx context.Context, a *app.App, args []string, _ usage.NoFlags) error {
	path := args[0]
	f, err := app.ReadEnvFile(ctx, path)
	if err != nil {
		return err
	}
	unneeded, err := app.VetEnvFile(path, f, a.Getenv)
	if err != nil {
		return err
	}
	if unneeded != "" {
		a.Note("Nothing to allow: %s %s.", app.QuotedPath(f.Path), unneeded)
		return nil
	}
	approvals, err := a.Approvals(f)
	if err == nil {
		err = approvals.Add(f)
	}
	if err == nil {
		a.Note("Allowed: %s", app.UsesText(f))
	}
	return err
}
