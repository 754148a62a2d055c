package cmd

import (
	"context"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/keyuse"
	"github.com/fobcli/fob/internal/registrar"
)

// noteUse writes down that a key was used, for the registry to learn of later: a
// line in a file costs next to nothing. What is lost with it is approximate anyway.
func (a *app) noteUse(ctx context.Context, g *registrar.Registrar, id string) {
	paths, err := a.paths()
	if err != nil {
		return
	}
	spool := keyuse.Spool{Dir: paths.Cache}
	if full, err := spool.Add(apikey.Use{ID: id, Count: 1, Last: a.now()}); err == nil && full {
		a.foldUses(ctx, g)
	}
}

// foldUses brings what was written down into the registry, in one batch.
func (a *app) foldUses(ctx context.Context, g *registrar.Registrar) {
	paths, err := a.paths()
	if err != nil {
		return
	}
	spool := keyuse.Spool{Dir: paths.Cache}
	if err := spool.Fold(ctx, g.Registry.Use); err != nil && ctx.Err() == nil {
		a.warn("when keys were last used is not up to date: " + err.Error())
	}
}
