package secret

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/complete"
	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/sanitize"
)

type removeOptions struct{ yes, dryRun bool }

func newRemoveCmd(a *app.App) *cobra.Command {
	var opts removeOptions
	c := &cobra.Command{
		Use:   "remove NAME",
		Short: "Delete a secret from this machine",
		Long: `Delete a secret and its settings here, after asking. Copies at its destinations stay,
and are named; its issuer honours it until you end it there.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted),
		Example: `  fob secret remove stripe/test
  fob secret remove stripe/test --dry-run`,
		Args:              oneSecretArg,
		ValidArgsFunction: complete.New(a).Secrets,
		RunE:              func(cmd *cobra.Command, args []string) error { return runRemove(cmd.Context(), a, args[0], opts) },
	}
	c.Flags().BoolVar(&opts.yes, "yes", false, "do not ask")
	c.Flags().BoolVar(&opts.dryRun, "dry-run", false, "say what would be deleted, and delete nothing")
	return c
}

func runRemove(ctx context.Context, a *app.App, name string, opts removeOptions) error {
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	s, err := app.KnownSecret(cfg, name)
	if err != nil {
		return err
	}
	if shown := a.ShownSecret(ctx, cfg, s); shown.Rotation != "" {
		a.Note("Its rotation is not at its end: all of its values go.")
	}
	stays := "stays"
	if opts.dryRun || !opts.yes {
		stays = "would stay"
	}
	for _, name := range s.To {
		a.Note("A copy %s at %s.", stays, sanitize.Line(name))
	}
	if opts.dryRun {
		a.Note("Would delete the secret %q.", s.Name)
		return nil
	}
	if !opts.yes {
		unasked := cli.WithHint(cli.Usagef("this deletes the secret %q, and there is nobody to ask", s.Name), hintDryRun)
		if err := a.Confirm(ctx, fmt.Sprintf("Delete the secret %q?", s.Name), unasked); err != nil {
			return err
		}
	}
	if err := a.DeleteSecret(ctx, s); err != nil {
		return err
	}
	if err := config.RemoveSecret(cfg.Paths.Config, s.Name); err != nil {
		return err
	}
	a.Note("The secret %q is deleted here. Its issuer honours it until you end it there.", s.Name)
	return nil
}
