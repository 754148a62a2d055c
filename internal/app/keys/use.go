package keys

import (
	"context"
	"errors"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/apikey/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
)

// NoteUse adds a use of a key to a file, and FoldUses adds it to the registry later: that is
// cheaper. The counts are approximate anyway.
func NoteUse(ctx context.Context, a *app.App, g *keys.Registrar, id string) {
	spool, err := spoolOf(ctx, a, g)
	if err != nil {
		return
	}
	if full, err := spool.Add(apikey.Use{ID: id, Count: 1, Last: a.Now()}); err == nil && full {
		FoldUses(ctx, a, g)
	}
}

// FoldUses adds the uses that were noted for a registry to it, in one batch.
func FoldUses(ctx context.Context, a *app.App, g *keys.Registrar) {
	spool, err := spoolOf(ctx, a, g)
	if err == nil {
		unassigned := usage.Spool{Dir: spool.Dir}
		err = errors.Join(spool.Fold(ctx, g.Registry.Use), unassigned.Fold(ctx, func(ctx context.Context, uses []apikey.Use) error {
			return assignUses(ctx, a, g, uses)
		}))
	}
	if err != nil && ctx.Err() == nil {
		a.Warn("the last use of keys is not up to date: " + err.Error())
	}
}

func spoolOf(ctx context.Context, a *app.App, g *keys.Registrar) (usage.Spool, error) {
	paths, err := a.Paths()
	if err != nil {
		return usage.Spool{}, err
	}
	id, err := g.Registry.ID(ctx)
	return usage.Spool{Dir: paths.Cache, Registry: id}, err
}

// assignUses adds uses that were noted without a registry, if all of the keys are in this one.
func assignUses(ctx context.Context, a *app.App, g *keys.Registrar, uses []apikey.Use) error {
	for _, use := range uses {
		_, err := g.Registry.Key(ctx, use.ID)
		if errors.Is(err, apikey.ErrNotFound) {
			a.Note("Discarded the last uses of %s that an older fob noted: not all are keys of this registry.", cli.Plural(len(uses), "key", "keys"))
			return nil
		}
		if err != nil {
			return err
		}
	}
	return g.Registry.Use(ctx, uses)
}
