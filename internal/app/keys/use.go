package keys

import (
	"context"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/apikey/usage"
	"github.com/fobcli/fob/internal/app"
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
		err = spool.Fold(ctx, g.Registry.Use)
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
