// Package records moves, checks, reseals, backs up and restores what fob stores: logins,
// secrets that others issued, and the peppers of API keys.
package records

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/secretstore"
	"github.com/fobcli/fob/internal/session"
)

// Kind is what a record contains.
type Kind int

// Kinds of records.
const (
	Login Kind = iota
	Secret
	Peppers
)

// Record is a login, a secret or the peppers of API keys, in one storage.
type Record struct {
	Kind    Kind
	Name    string // of the profile or the secret
	Label   string // in messages and arguments
	Storage string // by the configuration

	profile config.Profile // of a login
	secret  config.Secret  // the settings of a secret
	path    string         // of an orphan, in the storage of files
	config  string         // the path of config.toml

	open  func(storage string, current bool) (content, error) // current: no change once the configuration names another storage
	set   func(c *config.Config, storage string)              // sets the record's storage and settings
	named func(error) error                                   // adds the record's name to message and hint
	newer func(there, here revision) bool
}

func newLogin(a *app.App, cfg *config.Config, p config.Profile) Record {
	return Record{
		Kind: Login, Name: p.Name, Label: p.Name, Storage: storageOf(cfg, p.Storage), profile: p, config: cfg.Paths.Config,
		open: func(storage string, current bool) (content, error) {
			p.Storage = storage
			s, err := a.LocalSession(p)
			if err != nil {
				return nil, err
			}
			if current {
				s.Current = func() error { return a.StillIn(s.Store, p.Name) }
			}
			return login{s.Entry(), s}, nil
		},
		set: func(c *config.Config, storage string) {
			p.Storage = storage
			c.Profiles[p.Name] = p
		},
		named: func(err error) error { return cli.ForProfile(fmt.Errorf("%s: %w", p.Name, err), p.Name) },
		newer: func(there, here revision) bool { return there.savedAt.After(here.savedAt) },
	}
}

func newSecret(a *app.App, cfg *config.Config, s config.Secret) Record {
	return Record{
		Kind: Secret, Name: s.Name, Label: config.SecretPrefix + s.Name, Storage: storageOf(cfg, s.Storage), secret: s, config: cfg.Paths.Config,
		open: func(storage string, current bool) (content, error) {
			s.Storage = storage
			v, err := a.SealedSecret(s)
			if err != nil {
				return nil, err
			}
			if !current {
				v.Current = nil
			}
			return sealed{v.Entry(), secretstore.CheckRecord}, nil
		},
		set: func(c *config.Config, storage string) {
			s.Storage = storage
			c.Secrets[s.Name] = s
		},
		named: func(err error) error {
			return secretstore.ForSecret(fmt.Errorf("%s%s: %w", config.SecretPrefix, s.Name, err), s.Name)
		},
		newer: func(there, here revision) bool {
			return !there.equals(here) && secretstore.IsLater(there.record, here.record)
		},
	}
}

// pin writes the storage and the settings of a record to config.toml.
func (r Record) pin(storage string) error {
	return config.Edit(r.config, func(c *config.Config) { r.set(c, storage) })
}

// Save writes the storages and settings of records to config.toml, all in one change. Only
// if that is impossible, they are written one by one. The errors are by label.
func Save(all []Record) (failed map[string]error) {
	if len(all) == 0 {
		return nil
	}
	err := config.Edit(all[0].config, func(c *config.Config) {
		for _, r := range all {
			r.set(c, r.Storage)
		}
	})
	failed = map[string]error{}
	for _, r := range all {
		if failed[r.Label] = err; errors.Is(err, config.ErrEditByHand) {
			failed[r.Label] = r.pin(r.Storage)
		}
	}
	return failed
}

// storageOf returns the storage of a record with these settings. An invalid one is reported
// when it is opened.
func storageOf(cfg *config.Config, pinned string) string {
	if storage, err := cfg.StorageFor(pinned); err == nil {
		return storage
	}
	return pinned
}

// Missing returns the text for a record that is not stored.
func (r Record) Missing() string {
	if r.Kind == Login {
		return "not logged in"
	}
	return "no value"
}

// IsMissing reports whether nothing is stored under a record's name.
func IsMissing(err error) bool {
	return errors.Is(err, credstore.ErrNotFound) || errors.Is(err, session.ErrLoginRequired)
}

// wrap adds the record's name to an error; nil stays nil.
func (r Record) wrap(err error) error {
	if err == nil {
		return nil
	}
	return r.named(err)
}

// Select returns the records named by arguments, or all without arguments.
func Select(ctx context.Context, a *app.App, args []string) ([]Record, error) {
	cfg, err := a.Config()
	if err != nil {
		return nil, err
	}
	if len(args) == 0 {
		WarnOfOrphans(ctx, a)
		return withPeppers(ctx, a, cfg, configured(a, cfg), config.Storages()...), nil
	}
	var all []Record
	for _, arg := range slices.Compact(slices.Sorted(slices.Values(args))) {
		if name, isSecret := strings.CutPrefix(arg, config.SecretPrefix); isSecret {
			s, err := app.KnownSecret(cfg, name)
			if err != nil {
				return nil, err
			}
			all = append(all, newSecret(a, cfg, s))
			continue
		}
		p, _, err := cfg.Select(config.Choice{Name: arg, By: config.ByArgument})
		if err != nil {
			return nil, err
		}
		all = append(all, newLogin(a, cfg, p))
	}
	return all, nil
}

// In returns the records in a storage: logins, secrets, and the peppers if there are any.
func In(ctx context.Context, a *app.App, storage string) ([]Record, error) {
	cfg, err := a.Config()
	if err != nil {
		return nil, err
	}
	return withPeppers(ctx, a, cfg, configuredIn(a, cfg, storage), storage), nil
}

// configured returns the records with a table in config.toml: every login, and the secrets
// that are not in the environment.
func configured(a *app.App, cfg *config.Config) []Record {
	var all []Record
	for _, name := range cfg.Names() {
		all = append(all, newLogin(a, cfg, cfg.Profiles[name]))
	}
	for _, name := range cfg.SecretNames() {
		if r := newSecret(a, cfg, cfg.Secrets[name]); r.Storage != config.StorageNone {
			all = append(all, r)
		}
	}
	return all
}

func configuredIn(a *app.App, cfg *config.Config, storage string) []Record {
	return slices.DeleteFunc(configured(a, cfg), func(r Record) bool { return r.Storage != storage })
}

// Count returns the number of records of each kind, in words.
func Count(records []Record) string {
	count := map[Kind]int{}
	for _, r := range records {
		count[r.Kind]++
	}
	var parts []string
	if count[Login] > 0 || len(records) == 0 {
		parts = append(parts, cli.Plural(count[Login], "login", "logins"))
	}
	if count[Secret] > 0 {
		parts = append(parts, cli.Plural(count[Secret], "secret", "secrets"))
	}
	if count[Peppers] > 0 {
		parts = append(parts, "the peppers of API keys")
	}
	if len(parts) == 3 {
		parts = []string{parts[0] + ", " + parts[1], parts[2]}
	}
	return strings.Join(parts, " and ")
}
