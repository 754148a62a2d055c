package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/sanitize"
)

// NewPlaces are those that can lose a value, and are not yet among had. What a command of
// the configuration does with a value, it alone knows.
func NewPlaces(names, had []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return strings.HasPrefix(name, "exec:") || slices.Contains(had, name)
	})
}

// CheckConflicts refuses destinations that another key or secret is delivered to.
func CheckConflicts(ctx context.Context, a *app.App, places []string) error {
	if len(places) == 0 {
		return nil
	}
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	for _, name := range cfg.SecretNames() {
		if place := firstShared(places, cfg.Secrets[name].To); place != "" {
			return cli.WithHint(cli.Usagef("the secret %q goes to %s already, and would be overwritten", name, sanitize.Line(place)),
				"name another place, or take it out of 'to' in the secret's table of config.toml; --force goes there all the same")
		}
	}
	return checkKeyConflicts(ctx, a, places)
}

func checkKeyConflicts(ctx context.Context, a *app.App, places []string) error {
	g, err := appkeys.Open(ctx, a, false)
	if errors.Is(err, apikey.ErrNoRegistry) {
		return nil
	}
	if err != nil {
		return err
	}
	defer g.Close()
	keys, err := appkeys.Select(ctx, a, g, apikey.Filter{States: []apikey.State{apikey.Active, apikey.Disabled}})
	if err != nil {
		return fmt.Errorf("whether another key goes there is not known: %w", err)
	}
	for _, r := range keys {
		if place := firstShared(places, r.Destinations); place != "" {
			return cli.WithHint(cli.Usagef("key %s goes to %s already, and would be overwritten", appkeys.Text(r), sanitize.Line(place)),
				"name another place; 'fob key rotate %s' replaces that key, 'fob key revoke %s' ends it; --force goes there all the same", r.ID, r.ID)
		}
	}
	return nil
}

// firstShared returns the first of the places that is among the others, or "".
func firstShared(places, others []string) string {
	if i := slices.IndexFunc(places, func(place string) bool { return slices.Contains(others, place) }); i >= 0 {
		return places[i]
	}
	return ""
}
