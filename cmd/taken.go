package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/safetext"
)

// A destination holds one value: what a second key or secret brings there is the end of
// the first one's, which may stand nowhere else. In a registry that machines share, a
// file of another machine's counts too, since nobody can tell: --force is for that.

func forceFlag(c *cobra.Command, force *bool) {
	c.Flags().BoolVar(force, "force", false, "deliver where another key or secret goes, too")
}

// newPlaces are those that can lose a value, and are not yet among had. What a command of
// the configuration does with a value, it alone knows.
func newPlaces(names, had []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return strings.HasPrefix(name, "exec:") || slices.Contains(had, name)
	})
}

// refuseTaken refuses places that a key or a secret goes to already.
func (a *app) refuseTaken(ctx context.Context, places []string) error {
	if len(places) == 0 {
		return nil
	}
	cfg, err := a.config()
	if err != nil {
		return err
	}
	for _, name := range cfg.SecretNames() {
		if place := shared(places, cfg.Secrets[name].To); place != "" {
			return withHint(usagef("the secret %q goes to %s already, and would be overwritten", name, safetext.Line(place)),
				"name another place, or take it out of 'to' in the secret's table of config.toml; --force goes there all the same")
		}
	}
	return a.refuseTakenByKey(ctx, places)
}

func (a *app) refuseTakenByKey(ctx context.Context, places []string) error {
	g, err := a.registrar(ctx, false)
	if errors.Is(err, apikey.ErrNoRegistry) {
		return nil
	}
	if err != nil {
		return err
	}
	defer g.Close()
	keys, err := a.chosen(ctx, g, apikey.Filter{States: []apikey.State{apikey.Active, apikey.Disabled}})
	if err != nil {
		return fmt.Errorf("whether another key goes there is not known: %w", err)
	}
	for _, r := range keys {
		if place := shared(places, r.Destinations); place != "" {
			return withHint(usagef("key %s goes to %s already, and would be overwritten", keyText(r), safetext.Line(place)),
				"name another place; 'fob key rotate %s' replaces that key, 'fob key revoke %s' ends it; --force goes there all the same", r.ID, r.ID)
		}
	}
	return nil
}

// shared is the first of the places that is among the others.
func shared(places, others []string) string {
	if i := slices.IndexFunc(places, func(place string) bool { return slices.Contains(others, place) }); i >= 0 {
		return places[i]
	}
	return ""
}
