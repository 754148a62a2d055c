package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/destination"
	"github.com/fobcli/fob/internal/registrar"
)

type keyPushOptions struct {
	destinationFlags
	dryRun bool
	force  bool
}

func newKeyPushCmd(a *app) *cobra.Command {
	var opts keyPushOptions
	c := &cobra.Command{
		Use:   "push ID",
		Short: "Deliver an API key that you have to its destinations",
		Long: `Read a key from stdin, hold it against the registry's hash, and bring it to the
destinations that are named, else to all that the key has. New ones are the key's
from now on: a rotation goes there, too.

` + exitHelp(exitDone, exitFailed, exitUsage, exitUnavailable, exitStorage, exitLockTimeout, exitRefused, exitInterrupted),
		Example: `  fob key push 1OOivdDZfQCU --to github:acme/web#API_KEY <key.txt
  fob key push 1OOivdDZfQCU <key.txt
  fob key push 1OOivdDZfQCU --dry-run`,
		Args:              oneKeyID,
		ValidArgsFunction: completionsOf(a).completeKeyID,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runKeyPush(cmd.Context(), a, args[0], opts)
		},
	}
	opts.register(c, "deliver the key here")
	c.Flags().BoolVar(&opts.dryRun, "dry-run", false, "show where the key would go, and read none")
	forceFlag(c, &opts.force)
	return c
}

func runKeyPush(ctx context.Context, a *app, id string, opts keyPushOptions) error {
	g, err := a.registrar(ctx, false)
	if err != nil {
		return err
	}
	defer g.Close()
	records, err := a.chosen(ctx, g, apikey.Filter{IDs: []string{id}})
	if err != nil {
		return err
	}
	names := opts.to
	if len(names) == 0 {
		names = records[0].Destinations
	}
	if len(names) == 0 {
		return withHint(usagef("key %s has no destination", id), "name one: --to DESTINATION; see 'fob help destinations'")
	}
	to, err := a.keyDestinations(names, opts.as, records[0].Environment)
	if err != nil {
		return err
	}
	if places := newPlaces(namesOf(to), records[0].Destinations); !opts.force {
		if err := a.refuseTaken(ctx, places); err != nil {
			return err
		}
	}
	if opts.dryRun {
		for _, d := range to {
			a.note("would deliver key %s to %s.", id, d.Name())
		}
		return nil
	}
	text, err := a.readKey(ctx)
	if err != nil {
		return err
	}
	if err := checkIsKey(ctx, g, id, text.Reveal()); err != nil {
		return err
	}
	// Noted first: where a key may have arrived, a rotation has to go.
	if err := noteDestinations(ctx, g, id, to); err != nil {
		return err
	}
	return a.deliver(ctx, to, text)
}

// checkIsKey refuses a text that is not that key, or a key that is over.
func checkIsKey(ctx context.Context, g *registrar.Registrar, id, text string) error {
	r, err := g.Verify(ctx, text, apikey.Need{})
	var refused *apikey.RefusedError
	switch {
	case err == nil && r.ID == id, errors.As(err, &refused) && refused.Reason == apikey.IsDisabled && r.ID == id:
		return nil
	case err != nil:
		return err
	}
	return withHint(fmt.Errorf("that is key %s, not %s", r.ID, id), "nothing was delivered; name the key that you give")
}

// noteDestinations adds to where a key goes.
func noteDestinations(ctx context.Context, g *registrar.Registrar, id string, to []destination.Destination) error {
	_, err := g.Update(ctx, id, func(r *apikey.Record) {
		for _, name := range namesOf(to) {
			if !slices.Contains(r.Destinations, name) {
				r.Destinations = append(slices.Clone(r.Destinations), name)
			}
		}
	})
	return err
}
