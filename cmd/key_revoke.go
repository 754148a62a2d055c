package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/registrar"
)

type keyRevokeOptions struct {
	bulkFlags
	ids      []string
	reason   string
	keyStdin bool
}

func newKeyRevokeCmd(a *app) *cobra.Command {
	var opts keyRevokeOptions
	c := &cobra.Command{
		Use:   "revoke [ID…]",
		Short: "End API keys at once and for good",
		Long: `Revoke the keys that are named, by their ids or by flags that mean many. Nothing
brings a revoked key back. What a flag means is counted and asked about first.

` + exitHelp(exitDone, exitFailed, exitUsage, exitUnavailable, exitStorage, exitLockTimeout, exitRefused, exitInterrupted),
		Example: `  fob key revoke 1OOivdDZfQCU --reason 'the laptop was lost'
  fob key revoke --owner billing --env test
  fob key revoke --key-stdin <found-in-a-log.txt`,
		Args:              keyIDs(0),
		ValidArgsFunction: completionsOf(a).completeKeyIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.ids = args
			return runKeyRevoke(cmd.Context(), a, opts)
		},
	}
	opts.register(a, c)
	c.Flags().StringVar(&opts.reason, "reason", "", "the `REASON`, for the audit log")
	c.Flags().BoolVar(&opts.keyStdin, "key-stdin", false, "revoke the key that is read from stdin")
	return c
}

func runKeyRevoke(ctx context.Context, a *app, opts keyRevokeOptions) error {
	if err := apikey.CheckReason(opts.reason); err != nil {
		return withHint(usageOf(err), "say it in a few words of plain text")
	}
	g, err := a.registrar(ctx, false)
	if err != nil {
		return err
	}
	defer g.Close()
	if opts.keyStdin {
		id, err := a.idOfStdin(ctx, g)
		if err != nil {
			return err
		}
		opts.ids = append(opts.ids, id)
	}
	records, err := opts.meant(ctx, a, g, opts.ids, "revoke", nil)
	if err != nil {
		return err
	}
	if opts.dryRun {
		for _, r := range records {
			a.foretell("revoke", r, "")
		}
		return nil
	}
	bar := a.newProgress("revoking", int64(len(records)))
	defer bar.end()
	var revoked int
	for batch := range slices.Chunk(records, registrar.BatchSize) {
		ids := make([]string, len(batch))
		for i, r := range batch {
			ids[i] = r.ID
		}
		done, err := g.Revoke(ctx, ids, opts.reason)
		if err != nil {
			bar.end()
			return a.cutShort(ctx, err, fmt.Sprintf("%d of %d keys were revoked", revoked, len(records)), "run it again: those that are revoked stay so")
		}
		revoked += len(done)
		bar.at(int64(revoked), "")
	}
	bar.end()
	a.noteRevoked(records, revoked)
	return nil
}

func (a *app) noteRevoked(records []apikey.Record, revoked int) {
	switch before := len(records) - revoked; {
	case len(records) == 1 && revoked == 1:
		a.note("Revoked key %s.", keyText(records[0]))
	case len(records) == 1:
		a.note("Key %s was revoked before.", keyText(records[0]))
	case before == 0:
		a.note("Revoked %d keys.", revoked)
	default:
		a.note("Revoked %s; %s before.", plural(revoked, "key", "keys"), plural(before, "was revoked", "were revoked"))
	}
}

// idOfStdin reads a whole key and returns its id if it is one of the registry's,
// whatever its state.
func (a *app) idOfStdin(ctx context.Context, g *registrar.Registrar) (string, error) {
	text, err := a.readKey(ctx)
	if err != nil {
		return "", err
	}
	r, err := g.Prove(ctx, text.Reveal())
	var refused *apikey.RefusedError
	if r.ID == "" || err != nil && !errors.As(err, &refused) {
		return "", err
	}
	return r.ID, nil
}
