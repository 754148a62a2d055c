package key

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/complete"
	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
)

type revokeOptions struct {
	bulkFlags
	reason   string
	keyStdin bool
}

func newRevokeCmd(a *app.App) *cobra.Command {
	var opts revokeOptions
	c := &cobra.Command{
		Use:   "revoke [ID…]",
		Short: "Revoke API keys",
		Long: `Revoke keys, by their ids or by flags, at once and for good. Keys that flags select are
counted and confirmed first.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitRefused, cli.ExitInterrupted),
		Example: `  fob key revoke 1OOivdDZfQCU --reason 'the laptop was lost'
  fob key revoke --owner billing --env test
  fob key revoke --key-stdin <found-in-a-log.txt`,
		Args:              usage.KeyIDs(0),
		ValidArgsFunction: complete.New(a).KeyIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.ids = args
			return runRevoke(cmd.Context(), a, opts)
		},
	}
	opts.register(a, c)
	c.Flags().StringVar(&opts.reason, "reason", "", "`REASON` for the audit log")
	c.Flags().BoolVar(&opts.keyStdin, "key-stdin", false, "revoke the key on stdin")
	return c
}

func runRevoke(ctx context.Context, a *app.App, opts revokeOptions) error {
	if err := apikey.CheckReason(opts.reason); err != nil {
		return cli.WithHint(cli.AsUsage(err), "use a short line of plain text")
	}
	g, err := appkeys.Open(ctx, a, false)
	if err != nil {
		return err
	}
	defer g.Close()
	if opts.keyStdin {
		id, err := appkeys.ReadID(ctx, a, g)
		if err != nil {
			return err
		}
		opts.ids = append(opts.ids, id)
	}
	matching, err := opts.matching(ctx, a, g, "revoke")
	if err != nil {
		return err
	}
	var ids []string
	var some []apikey.Record
	count := 0
	for r, err := range matching {
		if err != nil {
			return err
		}
		if count++; count <= maxShown {
			some = append(some, r)
		}
		if opts.dryRun {
			printPlan(a, "revoke", r, "")
		} else {
			ids = append(ids, r.ID)
		}
	}
	if count == 0 && !opts.dryRun { // an interrupted command may have revoked them
		switch settled, err := settle(ctx, a, g); {
		case err != nil:
			return err
		case settled > 0:
			a.Note("Finished an interrupted revocation: %s.", cli.Plural(settled, "key", "keys"))
			return nil
		}
	}
	if err := opts.confirm(ctx, a, some, count, "revoke"); err != nil || opts.dryRun {
		return err
	}
	revoked, err := g.Revoke(ctx, ids, opts.reason)
	if err != nil {
		return cli.WithHint(err, "run it again: revoked keys are skipped")
	}
	noteRevoked(a, some[0], count, revoked)
	_, err = settle(ctx, a, g)
	return err
}

// settle completes the records of keys that were revoked in bulk.
func settle(ctx context.Context, a *app.App, g *keys.Registrar) (total int, err error) {
	bar := a.NewProgress("recording", 0)
	defer bar.End()
	for {
		count, err := g.Settle(ctx)
		if err != nil {
			bar.End()
			return total, interruptedError(ctx, a, err, fmt.Sprintf("all keys are revoked, and %d of them recorded", total), "run it again: it records the others")
		}
		if total += count; count == 0 {
			return total, nil
		}
		bar.At(int64(total), "")
	}
}

func recordIDs(records []apikey.Record) []string {
	ids := make([]string, len(records))
	for i, r := range records {
		ids[i] = r.ID
	}
	return ids
}

func noteRevoked(a *app.App, first apikey.Record, count, revoked int) {
	switch before := count - revoked; {
	case count == 1 && revoked == 1:
		a.Note("Revoked key %s.", appkeys.Text(first))
	case count == 1:
		a.Note("Key %s was already revoked.", appkeys.Text(first))
	case before == 0:
		a.Note("Revoked %d keys.", revoked)
	default:
		a.Note("Revoked %s; %d already revoked.", cli.Plural(revoked, "key", "keys"), before)
	}
}
