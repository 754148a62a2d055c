package records

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/session"
)

// Orphans returns the records in some storages that config.toml does not name. The default is
// both storages, but a keyring that may prompt only if config.toml is empty, and no storage if
// FOB_CONFIG is set, because another configuration may name the records.
func Orphans(ctx context.Context, a *app.App, storages ...string) (all []Record, err error) {
	cfg, err := a.Config()
	if err != nil || len(storages) == 0 && (a.Getenv("FOB_CONFIG") != "" || cfg.StoresNothing()) {
		return nil, err
	}
	isGiven := len(storages) > 0
	if !isGiven {
		storages = []string{config.StorageFile}
		if len(cfg.Profiles)+len(cfg.Secrets) == 0 || !credstore.KeyringMayAsk(a.Getenv) {
			storages = config.Storages()
		}
	}
	var failed error
	for _, storage := range storages {
		store, err := a.Store(storage)
		if err != nil {
			return nil, err
		}
		names, err := store.NamesExcept(ctx, func(item string) bool {
			_, isOrphan := orphan(ctx, a, cfg, storage, item)
			return !isOrphan
		})
		if isGiven || !errors.Is(err, credstore.ErrAbsent) {
			failed = errors.Join(failed, err)
		}
		for _, item := range names {
			r, _ := orphan(ctx, a, cfg, storage, item)
			r.path = filepath.Join(cfg.Paths.Data, "records", filepath.FromSlash(item))
			all = append(all, r)
		}
	}
	return all, failed
}

func orphan(ctx context.Context, a *app.App, cfg *config.Config, storage, item string) (r Record, isOrphan bool) {
	kind, name, _ := strings.Cut(item, "/")
	switch kind {
	case "login":
		_, isNamed := cfg.Profiles[name]
		return newLogin(a, cfg, config.Profile{Name: name, Storage: storage}), !isNamed
	case "secret":
		name = strings.ReplaceAll(name, ".", "/")
		_, isNamed := cfg.Secrets[name]
		return newSecret(a, cfg, config.Secret{Name: name, Storage: storage}), !isNamed
	case PeppersContext.Kind:
		named := storageOf(cfg, cfg.Keys.PepperStorage)
		_, err := newPeppers(a, cfg, named).read(ctx, named)
		return newPeppers(a, cfg, storage), named != storage && (IsMissing(err) || errors.Is(err, credstore.ErrAbsent))
	}
	return r, false
}

// Rebuild returns an orphan with the settings that its record contains; text describes it.
func (r Record) Rebuild(ctx context.Context, a *app.App) (rebuilt Record, text string, err error) {
	defer func() { err = r.hintOrphan(err) }()
	text = fmt.Sprintf("%s in %q", r.Label, r.Storage)
	cfg, err := a.Config()
	if err != nil {
		return r, text, err
	}
	if r.Kind == Login {
		store, err := a.Store(r.Storage)
		if err != nil {
			return r, text, err
		}
		p, err := session.ProfileOf(ctx, store, r.Name)
		if err != nil {
			return r, text, err
		}
		return newLogin(a, cfg, p), fmt.Sprintf("login %s (%s)", text, sanitize.Line(p.WithProvider().Authority())), nil
	}
	_, err = r.read(ctx, r.Storage)
	return r, text, err
}

// hintOrphan adds to the error of an orphan that cannot be read how to get rid of it.
func (r Record) hintOrphan(err error) error {
	if !isUnreadable(err) && !errors.Is(err, credstore.ErrUnusable) || errors.Is(err, credstore.ErrKeyMissing) {
		return err
	}
	away := map[Kind]string{Login: "replace it with 'fob login " + r.Name + "'", Secret: "replace it with 'fob secret set " + r.Name + "'"}[r.Kind]
	if r.Storage == config.StorageFile {
		away = "move the file away: " + sanitize.ShellQuote(r.path)
	}
	key := cli.TextIf(errors.Is(err, seal.ErrWrongKey), "use the key that it was saved with, or ")
	return cli.WithHint(err, "%srestore a backup with 'fob storage restore fob.age --force'; only without one, %s", key, away)
}

// checkOrphans returns an error if a change of the storage's key would miss a record.
func checkOrphans(ctx context.Context, a *app.App, storage string) error {
	all, err := Orphans(ctx, a, storage)
	for _, r := range all {
		if _, _, err := r.Rebuild(ctx, a); r.Kind != Peppers && (!isUnreadable(err) || errors.Is(err, seal.ErrWrongContext)) { // else its key is another one
			hint := cmp.Or(cli.CarriedHint(err), hintRebuild)
			if errors.Is(err, credstore.ErrUnusable) {
				return cli.WithHint(fmt.Errorf("%s: %w", r.Label, err), "%s", hint)
			}
			return r.noSettingsError(hint)
		}
	}
	return err
}

// CheckNewSecret returns an error if a new secret would replace one that config.toml does not
// name. A record that cannot be read may be replaced.
func CheckNewSecret(ctx context.Context, a *app.App, name, storage string) error {
	if a.Getenv("FOB_CONFIG") != "" {
		return nil
	}
	all, _ := Orphans(ctx, a, storage) // a storage that fails stores nothing either
	for _, r := range all {
		if r.Kind != Secret || r.Name != name {
			continue
		}
		if _, _, err := r.Rebuild(ctx, a); err == nil {
			return r.noSettingsError(hintRebuild)
		}
	}
	return nil
}

func (r Record) noSettingsError(hint string) error {
	return cli.WithHint(cli.Usagef("%s is stored in %q, but has no settings in config.toml", r.Label, r.Storage), "%s", hint)
}

const hintRebuild = "run 'fob doctor --fix' to rebuild its settings from the record, or restore config.toml from a backup"

// HintUnknown returns the hint for an unknown profile or secret that is stored without
// settings in config.toml, or "".
func HintUnknown(ctx context.Context, a *app.App, err error) string {
	var unknown Record
	if e, ok := errors.AsType[*config.SelectError](err); ok {
		unknown = Record{Kind: Login, Name: e.Choice.Name}
	} else if e, ok := errors.AsType[*app.UnknownSecretError](err); ok {
		unknown = Record{Kind: Secret, Name: e.Name}
	} else {
		return ""
	}
	all, _ := Orphans(ctx, a)
	isUnknown := func(r Record) bool { return r.Kind == unknown.Kind && r.Name == unknown.Name }
	return cli.TextIf(slices.ContainsFunc(all, isUnknown), hintRebuild)
}

// WarnOfOrphans warns about stored records that config.toml does not name, and reports
// whether there are any.
func WarnOfOrphans(ctx context.Context, a *app.App) bool {
	all, _ := Orphans(ctx, a)
	if len(all) == 0 {
		return false
	}
	names := ""
	for _, r := range all[:min(len(all), 5)] {
		names += " " + sanitize.Line(r.Label)
	}
	a.Warn(fmt.Sprintf("%s stored without settings in config.toml: 'fob doctor' lists them (%s)", Count(all), names[1:]+cli.TextIf(len(all) > 5, " ...")))
	return true
}
