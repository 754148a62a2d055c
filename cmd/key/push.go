package key

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/delivery"
)

type pushOptions struct {
	To     []string `flag:"to" empty:"refused" help:"deliver the key to a {DESTINATION}, see 'fob help destinations'; repeatable"`
	DryRun bool     `flag:"dry-run" help:"show where it would be delivered, and do nothing"`
	usage.AsFlag
	usage.AllowFolderFlag
	usage.ForceFlag
}

func newPushCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "push ID",
		Short: "Deliver an existing API key to its destinations",
		Long: `Read a key from stdin, check that it is this key, and deliver it to the given
destinations, by default to all that it has. New destinations are added to the key:
its replacements are delivered there too.`,
		Example: `  fob key push 1OOivdDZfQCU --to github:acme/web#API_KEY <key.txt
  fob key push 1OOivdDZfQCU <key.txt
  fob key push 1OOivdDZfQCU --dry-run`,
		Args: usage.OneKeyID,
	}, pushOptions{}, runPush, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitRefused, cli.ExitInterrupted)
}

func runPush(ctx context.Context, a *app.App, args []string, opts pushOptions) error {
	id := args[0]
	g, err := appkeys.Open(ctx, a, false)
	if err != nil {
		return err
	}
	defer g.Close()
	r, err := g.Find(ctx, id)
	if err != nil {
		return err
	}
	var recorded []string
	if len(opts.To) == 0 {
		recorded = r.Destinations
	}
	if len(opts.To)+len(recorded) == 0 {
		return cli.WithHint(cli.Usagef("key %s has no destination", id), "add --to DESTINATION: see 'fob help destinations'")
	}
	dests, err := delivery.KeyDestinations(a, recorded, opts.To, opts.As, r.Environment)
	if err != nil {
		return err
	}
	names := delivery.DestinationNames(dests)
	if err := delivery.CheckConflicts(ctx, a, names, r.Destinations, opts.Force); err != nil {
		return err
	}
	if opts.DryRun {
		for _, name := range names {
			a.Note("would deliver key %s to %s.", id, name)
		}
		return nil
	}
	if err := delivery.CheckReady(ctx, a, names, opts.As, "nothing was delivered"); err != nil && !delivery.MayHaveArrived(err) {
		return err
	}
	if err := delivery.AllowFolders(ctx, a, opts.To, opts.AllowFolder, true); err != nil {
		return err
	}
	text, err := appkeys.Read(ctx, a)
	if err != nil {
		return err
	}
	if err := checkIsKey(ctx, g, id, text.Reveal()); err != nil {
		return err
	}
	// Saved first: rotations must deliver to all places where the key may have arrived.
	if _, err := g.Update(ctx, id, func(r *apikey.Record) { r.Destinations = delivery.AddNames(r.Destinations, names) }); err != nil {
		return err
	}
	delivered, failed := delivery.DeliverAll(ctx, a, dests, text, false)
	return errors.Join(failed.Err(), g.Delivered(context.WithoutCancel(ctx), id, delivered))
}

// checkIsKey rejects a text that is not that key, and a revoked or expired key.
func checkIsKey(ctx context.Context, g *keys.Registrar, id, text string) error {
	r, err := g.Verify(ctx, text, apikey.Need{})
	var refused *apikey.RefusedError
	switch {
	case err == nil && r.ID == id, errors.As(err, &refused) && refused.Reason == apikey.IsDisabled && r.ID == id:
		return nil
	case err != nil:
		return err
	}
	return cli.WithHint(fmt.Errorf("the key on stdin is %s, not %s", r.ID, id), "nothing was delivered; use the id of the key on stdin")
}
