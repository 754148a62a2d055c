package keys

import (
	"context"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/apikey/usage"
	"github.com/fobcli/fob/internal/app"
)

// NoteUse writes down that a key was used, for the registry to learn of later: a
// line in a file costs next to nothing. What is lost with it is approximate anyway.
func NoteUse(ctx context.Context, a *app.App, g *keys.Registrar, id string) {
	paths, err := a.Paths()
	if err != nil {
		return
	}
	spool := usage.Spool{Dir: paths.Cache}
	if full, err := spool.Add(apikey.Use{ID: id, Count: 1, Last: a.Now()}); err == nil && full {
		FoldUses(ctx, a, g)
	}
}

// FoldUses brings what was written down into the registry, in one batch.
func FoldUses(ctx context.Context, a *app.App, g *keys.Registrar) {
	paths, err := a.Paths()
	if err != nil {
		return
	}
	spool := usage.Spool{Dir: paths.Cache}
	if err := spool.Fold(ctx, g.Registry.Use); err != nil && ctx.Err() == nil {
		a.Warn("when keys were last used is not up to date: " + err.Error())
	}
}
