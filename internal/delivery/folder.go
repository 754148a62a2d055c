package delivery

import (
	"context"
	"errors"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/destination"
	"github.com/fobcli/fob/internal/sanitize"
)

// AllowFolders notes which files among typed destinations a later rotation, which finds them
// in the registry, could not write. With allow, or a yes on a terminal, their folders are
// added to dotenv_roots.
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
		m.DotenvRoots = append(m.DotenvRoots, wrong.Folder) // once is enough
		shown := sanitize.Line(wrong.Folder)
		if !allow && (!ask || a.Confirm(ctx, "Allow later rotations to write below "+shown+"?", cli.ErrNoTerminal) != nil) {
			a.Note("Later rotations on this machine cannot write below %s: allow it with --allow-folder, or add it to dotenv_roots in config.toml.", shown)
			continue
		}
		if err := config.AllowDotenv(cfg.Paths.Config, wrong.Folder); err != nil {
			return err
		}
		a.Note("Added %s to dotenv_roots%s.", shown, cli.TextIf(len(cfg.Destination.DotenvRoots) == 0, ": it replaces the default, the working directory"))
	}
	return nil
}
