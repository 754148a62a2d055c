package secret

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/delivery"
	"github.com/fobcli/fob/internal/destination"
)

type pushOptions struct {
	To     []string `flag:"to" empty:"refused" help:"deliver the secret to a {DESTINATION}, see 'fob help destinations'; repeatable"`
	Once   bool     `flag:"once" help:"do not add new destinations to the settings"`
	DryRun bool     `flag:"dry-run" help:"show where it would be delivered, and do nothing"`
	JSON   bool     `flag:"json" help:"print the result of each destination as JSON"`
	usage.AsFlag
	usage.ForceFlag
}

func newPushCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "push NAME",
		Short: "Deliver a secret to its destinations",
		Long: `Deliver a secret to the given destinations, by default to all in its settings. New
destinations are added to its settings, so that rotations reach them too, unless
--once is given. All are tried, even if one fails; nothing is delivered if one of
them cannot take such a value.`,
		Example: `  fob secret push stripe/prod --to dotenv:/srv/shop/.env#STRIPE_KEY
  fob secret push stripe/prod
  fob secret push stripe/prod --dry-run`,
		Args: oneSecretArg,
	}, pushOptions{}, runPush, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage, cli.ExitInterrupted)
}

func runPush(ctx context.Context, a *app.App, args []string, opts pushOptions) error {
	name := args[0]
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	settings, known := cfg.Secrets[name]
	names := opts.To
	if len(names) == 0 {
		names = settings.To
	}
	if len(names) == 0 && known {
		return cli.WithHint(cli.Usagef("secret %q has no destination", name), "add --to DESTINATION: see 'fob help destinations'")
	}
	dests, err := delivery.Destinations(a, names, opts.As)
	if err != nil {
		return err
	}
	if err := delivery.CheckConflicts(ctx, a, delivery.DestinationNames(dests), settings.To, opts.Force); err != nil {
		return err
	}
	held, err := a.HeldSecret(ctx, name)
	if err != nil {
		return err
	}
	if err := destination.CheckAll(dests, held.Value); err != nil {
		return err
	}
	if opts.DryRun {
		for _, d := range dests {
			a.Note("would deliver the secret %q to %s.", name, d.Name())
		}
		return nil
	}
	if err := delivery.CheckReady(ctx, a, delivery.DestinationNames(dests), opts.As, "nothing was delivered"); err != nil && !delivery.MayHaveArrived(err) {
		return err
	}
	delivered, failed := delivery.DeliverAll(ctx, a, dests, held.Value, opts.JSON)
	if known && !opts.Once {
		err := config.ChangeSecret(cfg.Paths.Config, name, func(s *config.Secret) { s.To = delivery.AddNames(s.To, delivered) })
		if err != nil {
			failed = append(failed, cli.WithHint(fmt.Errorf("the new destinations could not be saved: %w", err), "add them to 'to' in its table of config.toml"))
		}
	}
	return failed.Err()
}
