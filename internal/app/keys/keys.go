// Package keys opens the registry of API keys, and the peppers, for a command.
package keys

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/apikey/registry"
	"github.com/fobcli/fob/internal/apikey/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/records"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// RegistryName returns the configured registry, and whether it is this machine's own.
func RegistryName(a *app.App) (dsn string, isLocal bool, err error) {
	cfg, err := a.Config()
	if err != nil {
		return "", false, err
	}
	if dsn = cmp.Or(a.Getenv("FOB_REGISTRY"), cfg.Keys.Registry); dsn != "" {
		return dsn, false, nil
	}
	return "sqlite:" + filepath.Join(cfg.Paths.Data, app.RegistryFile), true, nil
}

// Open opens the registry; with create, a missing one is created. Close it.
func Open(ctx context.Context, a *app.App, create bool) (*keys.Registrar, error) {
	return open(ctx, a, map[bool]apikey.Mode{false: apikey.ModeUse, true: apikey.ModeCreate}[create])
}

func open(ctx context.Context, a *app.App, mode apikey.Mode) (*keys.Registrar, error) {
	g, err := RegistrarOf(a, nil)
	if err != nil {
		return nil, err
	}
	dsn, _, err := RegistryName(a)
	if err != nil {
		return nil, err
	}
	g.Registry, err = registry.Open(ctx, dsn, mode)
	if errors.Is(err, registry.ErrScheme) {
		return nil, cli.WithHint(cli.AsUsage(err), "use sqlite:/PATH or postgres://HOST/DATABASE: check FOB_REGISTRY, or 'registry' under [keys] in config.toml")
	}
	if err != nil {
		return nil, err
	}
	return g, nil
}

// IfAny calls do with the registry, if there is one.
func IfAny(ctx context.Context, a *app.App, mode apikey.Mode, do func(*keys.Registrar) error) error {
	g, err := open(ctx, a, mode)
	if errors.Is(err, apikey.ErrNoRegistry) {
		return nil
	}
	if err != nil {
		return err
	}
	defer g.Close()
	return do(g)
}

// RegistrarOf applies this machine's settings to a registry.
func RegistrarOf(a *app.App, r apikey.Registry) (*keys.Registrar, error) {
	format, err := Format(a)
	if err != nil {
		return nil, err
	}
	cfg, err := a.Config()
	if err != nil {
		return nil, err
	}
	return &keys.Registrar{
		Registry: r, Format: format, Actor: actor(), Now: a.Now, Peppers: func(ctx context.Context, id string) (apikey.Pepper, error) { return Pepper(ctx, a, id) },
		RequirePepper: cfg.Keys.RequirePepper, AddPepper: cfg.Keys.AddPepper, LockDir: filepath.Join(cfg.Paths.Data, "locks"),
	}, nil
}

// Format returns the format of new keys, as configured or the default.
func Format(a *app.App) (apikey.Format, error) {
	cfg, err := a.Config()
	if err != nil {
		return apikey.Format{}, err
	}
	format := apikey.DefaultFormat
	format.Brand = cmp.Or(cfg.Keys.Brand, format.Brand)
	if len(cfg.Keys.Environments) > 0 {
		format.Environments = cfg.Keys.Environments
	}
	return format, cli.WithHint(cli.InvalidIn("[keys] in config.toml", format.Check()), "fix it with an editor; nothing was changed")
}

// actor is the user in the audit log, as the operating system reports it.
func actor() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return sanitize.Line(name)
}

// Pepper returns a pepper of this machine.
func Pepper(ctx context.Context, a *app.App, id string) (apikey.Pepper, error) {
	if config.CheckName(id) != nil { // a hint must not contain it
		return apikey.Pepper{}, fmt.Errorf("%w: %w: %.40q", apikey.ErrDamaged, apikey.ErrUnknownPepper, id)
	}
	peppers, err := records.ReadPeppers(ctx, a)
	if err != nil {
		return apikey.Pepper{}, err
	}
	value, known := peppers[id]
	if !known {
		return apikey.Pepper{}, cli.WithHint(fmt.Errorf("%w: %q", apikey.ErrUnknownPepper, id),
			"copy it from a machine that has it: 'fob key pepper export %s' there, 'fob key pepper add %s --stdin' here", id, id)
	}
	return apikey.Pepper{ID: id, Secret: value}, nil
}

// ReadID reads a whole key and returns its id if the registry has the key, in any state.
func ReadID(ctx context.Context, a *app.App, g *keys.Registrar) (string, error) {
	text, err := Read(ctx, a)
	if err != nil {
		return "", err
	}
	r, err := g.Prove(ctx, text.Reveal())
	if r.ID == "" || err != nil && !errors.As(err, new(*apikey.RefusedError)) {
		return "", err
	}
	return r.ID, nil
}

// Read reads a key from stdin, or asks for it without echo.
func Read(ctx context.Context, a *app.App) (secret.Secret, error) {
	if cli.IsTerminal(a.In) {
		return a.AskSecret(ctx, "API key:")
	}
	text, err := cli.Await(ctx, func() (string, error) {
		given, err := cli.ReadSecret(a.In, "stdin")
		return strings.TrimSpace(given.Reveal()), err
	})
	if err != nil {
		err = cli.WithHint(err, `put only the key on stdin, as in <key.txt, or printf %%s "$KEY" | fob …`)
	}
	return secret.New(text), err
}

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

// FoldUses adds the noted uses to the registry in one batch.
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

// MaxCounted is where Count stops, because counting takes time.
const MaxCounted = 10_000

// Counts are the numbers of keys in a registry, up to MaxCounted.
type Counts struct {
	All, Active, Unfinished, Pending int
	Stopped                          bool // the keys were not counted in time: All and Active are too low
}

// Count reads what is unfinished in a registry, then counts its keys for a limited time.
func Count(ctx context.Context, dsn string, now time.Time, limit time.Duration) (c Counts, err error) {
	r, err := registry.Open(ctx, dsn, apikey.ModeUse)
	if err != nil {
		return c, err
	}
	defer func() { _ = r.Close() }()
	open, err := r.OpenRotations(ctx)
	if err != nil {
		return c, err
	}
	end, err := r.Log(ctx, math.MaxInt64, nil)
	if err != nil {
		return c, err
	}
	c.Unfinished, c.Pending = len(open), end.Pending
	counting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for record, err := range r.Keys(counting, apikey.Filter{}) {
		if c.Stopped = counting.Err() != nil && ctx.Err() == nil; c.Stopped {
			return c, nil
		}
		if err != nil {
			return c, err
		}
		if c.All++; c.All > MaxCounted {
			break
		}
		if record.State(now) == apikey.Active {
			c.Active++
		}
	}
	return c, nil
}
