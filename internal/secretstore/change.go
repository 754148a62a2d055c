package secretstore

import (
	"context"
	"errors"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/secret"
)

// Change is a new value of a secret together with its settings.
type Change struct {
	Path          string // of config.toml
	Before, After config.Secret
	IsNew         bool    // there is no Before
	Old, New      *Secret // as stored by Before and After; Old is nil if it cannot be opened
}

// Moves reports whether the value moves to another storage.
func (c Change) Moves() bool { return !c.IsNew && c.Old != nil && c.Old.Store != c.New.Store }

// Save stores the settings first: without settings, the value would never be found again.
// If the value moves, it is stored first instead, so that the settings always refer to a
// complete one; the caller deletes the old one.
func (c Change) Save(ctx context.Context, value secret.Secret) error {
	if c.Moves() {
		if stored, err := c.Old.Get(ctx); err == nil && stored.Stage != AtRest {
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
