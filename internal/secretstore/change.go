package secretstore

import (
	"context"
	"errors"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/secret"
)

// Change stores another value of a secret together with its settings.
type Change struct {
	Path          string // of config.toml
	Before, After config.Secret
	IsNew         bool    // there is no Before
	Old, New      *Secret // where Before and After say that it is stored; Old is nil if that cannot be opened
}

// Moves reports whether the value gets into another storage.
func (c Change) Moves() bool { return !c.IsNew && c.Old != nil && c.Old.Store != c.New.Store }

// Save writes the settings first: a value that no table names would never be found again.
// A value that moves is written first instead, so that the settings always name a whole
// one; the old one is the caller's to delete.
func (c Change) Save(ctx context.Context, value secret.Secret) error {
	if c.Moves() {
		if held, err := c.Old.Get(ctx); err == nil && held.Stage != AtRest {
			return c.New.errorf(ErrOpen)
		}
		c.New.Current = nil // the settings name the new storage only afterwards
		if err := c.New.Set(ctx, value); err != nil {
			return err
		}
		return config.SaveSecret(c.Path, c.After)
	}
	if err := config.SaveSecret(c.Path, c.After); err != nil {
		return err
	}
	err := c.New.Set(ctx, value)
	switch {
	case err == nil:
		return nil
	case c.IsNew:
		return errors.Join(err, config.RemoveSecret(c.Path, c.After.Name))
	}
	return errors.Join(err, config.SaveSecret(c.Path, c.Before))
}
