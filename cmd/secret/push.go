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
	"github.com/fobcli/fob/internal/delivery"
	"github.com/fobcli/fob/internal/destination"
)

type pushOptions struct {
	usage.DestinationFlags
	once, dryRun bool
	force, json  bool
}

func newPushCmd(a *app.App) *cobra.Command {
	var opts pushOptions
	c := &cobra.Command{
		Use:   "push NAME",
		Short: "Deliver a secret to its destinations",
		Long: `Deliver a secret to the given destinations, by default to all in its settings. New
destinations are added to its settings, so that rotations reach them too, unless
--once is given. All are tried, even if one fails; nothing is delivered if one of
them cannot take such a value.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage, cli.ExitInterrupted),
		Example: `  fob secret push stripe/prod --to dotenv:/srv/shop/.env#STRIPE_KEY
  fob secret push stripe/prod
  fob secret push stripe/prod --dry-run`,
		Args:              oneSecretArg,
		ValidArgsFunction: complete.New(a).Secrets,
		RunE:              func(cmd *cobra.Command, args []string) error { return runPush(cmd.Context(), a, args[0], opts) },
	}
	opts.Register(c, "deliver the secret to")
	c.Flags().BoolVar(&opts.once, "once", false, "do not add new destinations to the settings")
	c.Flags().BoolVar(&opts.dryRun, "dry-run", false, "show where it would be delivered, and do nothing")
	c.Flags().BoolVar(&opts.json, "json", false, "print the result of each destination as JSON")
	usage.ForceFlag(c, &opts.force)
	return c
}

func runPush(ctx context.Context, a *app.App, name string, opts pushOptions) error {
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
	if err := delivery.CheckConflicts(ctx, a, delivery.DestinationNames(dests), settings.To, opts.force); err != nil {
		return err
	}
	held, err := a.HeldSecret(ctx, name)
	if err != nil {
		return err
	}
	if err := destination.CheckAll(dests, held.Value); err != nil {
		return err
	}
	if opts.dryRun {
		for _, d := range dests {
			a.Note("would deliver the secret %q to %s.", name, d.Name())
		}
		return nil
	}
	if err := delivery.CheckReady(ctx, a, delivery.DestinationNames(dests), opts.As, "nothing was delivered"); err != nil && !delivery.MayHaveArrived(err) {
		return err
	}
	delivered, failed := delivery.DeliverAll(ctx, a, dests, held.Value, opts.json)
	if known && !opts.once {
		err := config.ChangeSecret(cfg.Paths.Config, name, func(s *config.Secret) { s.To = delivery.AddNames(s.To, delivered) })
		if err != nil {
			failed = append(failed, cli.WithHint(fmt.Errorf("the new destinations could not be saved: %w", err), "add them to 'to' in its table of config.toml"))
		}
	}
	return failed.Err()
}
