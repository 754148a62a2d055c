package secret

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/sanitize"
)

type removeOptions struct {
	Yes    bool `flag:"yes" help:"do not ask for confirmation"`
	DryRun bool `flag:"dry-run" help:"show what would be deleted, and do nothing"`
}

func newRemoveCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:        "remove NAME",
		SuggestFor: []string{"delete"},
		Short:      "Delete a secret from this machine",
		Long: `Delete a secret and its settings from this machine, after confirmation. Copies at its
destinations remain, and the secret stays valid until you revoke it at its issuer.`,
		Example: `  fob secret remove stripe/test
  fob secret remove stripe/test --dry-run`,
		Args: oneSecretArg,
	}, removeOptions{}, runRemove, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func runRemove(ctx context.Context, a *app.App, args []string, opts removeOptions) error {
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	s, err := app.KnownSecret(cfg, args[0])
	if err != nil {
		return err
	}
	if shown := a.ShownSecret(ctx, cfg, s); shown.Rotation != "" {
		a.Note("Its rotation is unfinished: both values will be deleted.")
	}
	for _, name := range s.To {
		a.Note("The copy at %s is not deleted.", sanitize.Line(name))
	}
	if opts.DryRun {
		a.Note("Would delete the secret %q.", s.Name)
		return nil
	}
	if err := confirm(ctx, a, opts.Yes, fmt.Sprintf("Delete the secret %q?", s.Name), "delete the secret", s.Name); err != nil {
		return err
	}
	if err := a.DeleteSecret(ctx, s); err != nil {
		return err
	}
	if err := config.RemoveSecret(cfg.Paths.Config, s.Name); err != nil {
		return err
	}
	a.Note("Deleted the secret %q from this machine. It stays valid until you revoke it at its issuer.", s.Name)
	return nil
}
