package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/destination"
	"github.com/fobcli/fob/internal/sanitize"
)

// CheckConflicts refuses destinations that another key or secret is delivered to, unless
// forced. Those among known already belong to this one. Commands never conflict, because
// what they do with a value is unknown.
func CheckConflicts(ctx context.Context, a *app.App, names, known []string, force bool) error {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return strings.HasPrefix(name, "exec:") || slices.Contains(known, name)
	})
	if len(names) == 0 || force {
		return nil
	}
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	for _, secret := range cfg.SecretNames() {
		if name := firstShared(names, cfg.Secrets[secret].To); name != "" {
			return cli.WithHint(cli.Usagef("the secret %q is delivered to %s, and would be overwritten", secret, sanitize.Line(name)),
				"choose another destination, or remove it from 'to' in the secret's table of config.toml; --force overwrites it")
		}
	}
	return appkeys.IfAny(ctx, a, apikey.ModeUse, func(g *keys.Registrar) error { return checkKeyConflicts(ctx, g, names) })
}

func checkKeyConflicts(ctx context.Context, g *keys.Registrar, names []string) error {
	for r, err := range g.Matching(ctx, apikey.Filter{States: []apikey.State{apikey.Active, apikey.Disabled}}) {
		if err != nil {
			return fmt.Errorf("cannot check whether another key is delivered there: %w", err)
		}
		if name := firstShared(names, r.Destinations); name != "" {
			return cli.WithHint(cli.Usagef("key %s is delivered to %s, and would be overwritten", appkeys.Text(r), sanitize.Line(name)),
				"choose another destination, or run 'fob key rotate %s' to replace that key, 'fob key revoke %s' to revoke it; --force overwrites it", r.ID, r.ID)
		}
	}
	return nil
}

// firstShared returns the first of the names that is among the others, or "".
func firstShared(names, others []string) string {
	if i := slices.IndexFunc(names, func(name string) bool { return slices.Contains(others, name) }); i >= 0 {
		return names[i]
	}
	return ""
}

// AllowFolders reports the .env files among typed destinations that later rotations, which
// find them in the registry, could not write. With allow, or after confirmation, it adds their
// folders to dotenv_roots.
func AllowFolders(ctx context.Context, a *app.App, typed []string, allow, ask bool) error {
	if len(typed) == 0 {
		return nil
	}
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	m, err := newMachine(a, nil)
	if err != nil {
		return err
	}
	for _, name := range typed {
		_, err := destination.Parse(name, m)
		wrong, ok := errors.AsType[*destination.NameError](err)
		if !ok || wrong.Folder == "" {
			continue
		}
		m.DotenvRoots = append(m.DotenvRoots, wrong.Folder) // ask once per folder
		shown := sanitize.Line(wrong.Folder)
		if !allow && (!ask || a.Confirm(ctx, "Allow later rotations to write below "+shown+"?", cli.ErrNoTerminal) != nil) {
			a.Note("Later rotations on this machine cannot write below %s: allow it with --allow-folder, or add it to dotenv_roots in config.toml.", shown)
			continue
		}
		err = config.Edit(cfg.Paths.Config, func(c *config.Config) {
			c.Destination.DotenvRoots = append(c.Destination.DotenvRoots, wrong.Folder)
		})
		if err != nil {
			return err
		}
		a.Note("Added %s to dotenv_roots%s.", shown, cli.TextIf(len(cfg.Destination.DotenvRoots) == 0, ": it replaces the default, the working directory"))
	}
	return nil
}
