package app

import (
	"context"
	"os"
	"slices"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/session"
)

// ProfilesNamed returns the named profiles, or all if there are no names.
func ProfilesNamed(cfg *config.Config, names []string) (profiles []config.Profile, err error) {
	if len(names) == 0 {
		for _, name := range cfg.Names() {
			profiles = append(profiles, cfg.Profiles[name])
		}
	}
	for _, name := range names {
		p, _, err := cfg.Select(config.Choice{Name: name, By: config.ByArgument})
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(profiles, func(known config.Profile) bool { return known.Name == p.Name }) {
			profiles = append(profiles, p)
		}
	}
	return profiles, nil
}

// PathExists reports whether there is a file of any type, including a dangling link.
func PathExists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// ForgetElsewhere deletes the previous login from the storage that the profile used before:
// without a profile that refers to it, it would never be found again.
func ForgetElsewhere(ctx context.Context, a *App, cfg *config.Config, before, after config.Profile) {
	from, err := cfg.StorageFor(before.Storage)
	if err != nil || from == after.Storage {
		return
	}
	s, err := a.LocalSession(before)
	if err == nil {
		err = s.Entry().Remove(ctx)
	}
	if err != nil {
		a.Note("warning: the login before is still in the storage %q: %s", from, err)
	}
}

// Subtract returns the members of a that are not in b.
func Subtract(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// ProviderNames returns the names of the presets.
func ProviderNames() []string {
	var names []string
	for _, p := range config.Providers() {
		names = append(names, p.Name)
	}
	return names
}

// Account is a session.Account that is safe to show.
type Account session.Account

// NewAccount makes an account safe to show.
func NewAccount(a session.Account) Account {
	return Account{Subject: sanitize.Line(a.Subject), Name: sanitize.Line(a.Name), Email: sanitize.Line(a.Email)}
}

func (a Account) String() string {
	switch {
	case a.Name != "" && a.Email != "":
		return a.Name + " <" + a.Email + ">"
	case a.Email != "":
		return a.Email
	case a.Name != "":
		return a.Name
	}
	return a.Subject
}
