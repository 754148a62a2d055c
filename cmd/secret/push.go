package secret

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/complete"
	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/delivery"
	"github.com/fobcli/fob/internal/destination"
)

type secretPushOptions struct {
	usage.DestinationFlags
	name         string
	once, dryRun bool
	force, json  bool
}

func newSecretPushCmd(a *app.App) *cobra.Command {
	var opts secretPushOptions
	c := &cobra.Command{
		Use:   "push NAME",
		Short: "Deliver a secret to its destinations",
		Long: `Bring a secret to the destinations that are named, else to all that its settings name.
One that is new and took the secret is noted there, so that a rotation goes to it too;
with --once it is not. All are tried, whatever fails, and nothing is delivered where
one of them would not take such a value.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage, cli.ExitInterrupted),
		Example: `  fob secret push stripe/prod --to dotenv:/srv/shop/.env#STRIPE_KEY
  fob secret push stripe/prod
  fob secret push stripe/prod --dry-run`,
		Args:              oneSecretArg,
		ValidArgsFunction: complete.New(a).Secrets,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.name = args[0]
			return runSecretPush(cmd.Context(), a, opts)
		},
	}
	opts.Register(c, "deliver the secret here")
	c.Flags().BoolVar(&opts.once, "once", false, "do not note a new destination")
	c.Flags().BoolVar(&opts.dryRun, "dry-run", false, "say where it would go, and deliver nothing")
	c.Flags().BoolVar(&opts.json, "json", false, "print JSON: what became of each destination")
	usage.ForceFlag(c, &opts.force)
	return c
}

func runSecretPush(ctx context.Context, a *app.App, opts secretPushOptions) error {
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	settings, known := cfg.Secrets[opts.name]
	names := opts.To
	if len(names) == 0 {
		names = settings.To
	}
	if len(names) == 0 && known {
		return cli.WithHint(cli.Usagef("secret %q has no destination", opts.name), "name one: --to DESTINATION; see 'fob help destinations'")
	}
	to, err := delivery.Destinations(a, names, opts.As)
	if err != nil {
		return err
	}
	if places := delivery.NewPlaces(delivery.DestinationNames(to), settings.To); !opts.force {
		if err := delivery.CheckConflicts(ctx, a, places); err != nil {
			return err
		}
	}
	held, err := a.HeldSecret(ctx, opts.name)
	if err != nil {
		return err
	}
	if err := destination.CheckAll(to, held.Value); err != nil {
		return err
	}
	if opts.dryRun {
		for _, d := range to {
			a.Note("would deliver the secret %q to %s.", opts.name, d.Name())
		}
		return nil
	}
	delivered, failed := delivery.DeliverAll(ctx, a, to, held.Value, opts.json)
	if known && !opts.once {
		err := config.ChangeSecret(cfg.Paths.Config, opts.name, func(s *config.Secret) {
			for _, name := range delivered {
				if !slices.Contains(s.To, name) {
					s.To = append(slices.Clone(s.To), name)
				}
			}
		})
		if err != nil {
			failed = append(failed, cli.WithHint(fmt.Errorf("where the secret was delivered could not be noted: %w", err), "add it to 'to' in its table of config.toml"))
		}
	}
	return failed.Err()
}
