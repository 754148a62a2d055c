package key

import (
	"context"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
)

type revokeOptions struct {
	bulkFlags
	Reason   string `flag:"reason" help:"{REASON} for the audit log"`
	KeyStdin bool   `flag:"key-stdin" help:"revoke the key on stdin"`
	Resume   bool   `flag:"resume" not:"owner env scope state expiring unused reason key-stdin" help:"finish an interrupted revocation"`

	page   int       // number of keys that are revoked in one change, and held in memory
	newest time.Time // when the last of the confirmed keys was created
}

func newRevokeCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "revoke [ID…]",
		Short: "Revoke API keys",
		Long: `Revoke keys, by their ids or by flags, at once and for good. Keys that flags select are
counted and confirmed first.`,
		Example: `  fob key revoke 1OOivdDZfQCU --reason 'the laptop was lost'
  fob key revoke --owner billing --env test
  fob key revoke --key-stdin <found-in-a-log.txt
  fob key revoke --resume`,
		Args: usage.KeyIDs(0),
	}, revokeOptions{page: 100_000}, runRevoke, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitRefused, cli.ExitInterrupted)
}

func runRevoke(ctx context.Context, a *app.App, args []string, opts revokeOptions) error {
	opts.ids = args
	if opts.Resume && len(args) > 0 {
		return cli.WithHint(cli.Usagef("--resume takes no id"), "run 'fob key revoke --resume' to finish every interrupted revocation")
	}
	if err := apikey.CheckReason(opts.Reason); err != nil {
		return cli.WithHint(cli.AsUsage(err), "use a short line of plain text")
	}
	g, err := appkeys.Open(ctx, a, false)
	if err != nil {
		return err
	}
	defer g.Close()
	if opts.KeyStdin {
		id, err := appkeys.ReadID(ctx, a, g)
		if err != nil {
			return err
		}
		opts.ids = append(opts.ids, id)
	}
	if opts.Resume {
		pending, err := finish(ctx, a, g, opts.DryRun)
		if pending == 0 && err == nil {
			a.Note("No unfinished revocation.")
		}
		return err
	}
	return revokeMatching(ctx, a, g, opts)
}

func revokeMatching(ctx context.Context, a *app.App, g *keys.Registrar, opts revokeOptions) error {
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
		if r.CreatedAt.After(opts.newest) {
			opts.newest = r.CreatedAt
		}
		if count++; count <= maxShown {
			some = append(some, r)
		}
		if opts.DryRun {
			printPlan(a, "revoke", r, "")
		} else if count <= opts.page || opts.Expiring != "" { // which is read with one open statement
			ids = append(ids, r.ID)
		}
	}
	if count == 0 { // an interrupted command may have revoked them
		if pending, err := finish(ctx, a, g, opts.DryRun); pending > 0 || err != nil {
			return err
		}
	}
	if err := opts.confirm(ctx, a, some, count, "revoke"); err != nil || opts.DryRun {
		return err
	}
	revoked, err := revokePages(ctx, g, ids, count, matching, opts)
	if err != nil && revoked > 0 {
		return interruptedError(ctx, a, err, fmt.Sprintf("%d of %d keys were revoked", revoked, count), "run it again: revoked keys are skipped")
	}
	if err != nil {
		return err
	}
	noteRevoked(a, some[0], max(count, revoked), revoked)
	_, err = finish(ctx, a, g, false)
	return err
}

// revokePages revokes the first page of the keys, then the others that match, except those
// created after the confirmed ones.
func revokePages(ctx context.Context, g *keys.Registrar, first []string, count int, matching iter.Seq2[apikey.Record, error], opts revokeOptions) (int, error) {
	revoked, err := g.Revoke(ctx, first, opts.Reason)
	if err != nil || count == len(first) {
		return revoked, err
	}
	ids := make([]string, 0, opts.page)
	revoke := func() error {
		count, err := g.Revoke(ctx, ids, opts.Reason)
		revoked, ids = revoked+count, ids[:0]
		return err
	}
	for r, err := range matching {
		if err == nil && r.CreatedAt.After(opts.newest) {
			continue
		}
		if err == nil && len(ids) == opts.page {
			err = revoke()
		}
		if err != nil {
			return revoked, err
		}
		ids = append(ids, r.ID)
	}
	return revoked, revoke()
}

// finish adds the audit entries of keys that were revoked in bulk, also by an interrupted
// command, and returns how many had none.
func finish(ctx context.Context, a *app.App, g *keys.Registrar, dryRun bool) (pending int, err error) {
	end, err := g.Registry.Log(ctx, math.MaxInt64, nil)
	pending = end.Pending
	switch {
	case err != nil || pending == 0:
		return 0, err
	case dryRun:
		a.Note("would add the audit entries of %s.", cli.Plural(pending, "revoked key", "revoked keys"))
		return pending, nil
	}
	bar := a.NewProgress("recording", int64(pending))
	defer bar.End()
	done := 0
	for count := 1; count > 0; done += count {
		bar.At(int64(done), "")
		if count, err = g.Settle(ctx); err != nil {
			bar.End()
			a.Note("Revoked %s; %d have their audit entry. Run the same command again to add the rest.", cli.Plural(pending, "key", "keys"), done)
			return pending, err
		}
	}
	a.Note("Added the audit entries of %s.", cli.Plural(done, "revoked key", "revoked keys"))
	return pending, nil
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
