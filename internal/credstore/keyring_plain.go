//go:build !linux

package credstore

import (
	"errors"
	"fmt"

	"github.com/zalando/go-keyring"
)

type osKeyring struct{}

func newOSKeyring(func(string) string) osKeyring { return osKeyring{} }

func (osKeyring) reachable() error { return nil }

func (k osKeyring) each(p *patience, n int, do func(i int) error) error {
	return concurrently(p, k.asking, n, do)
}

func (osKeyring) get(account string) (string, error) {
	value, err := keyring.Get(serviceName, account)
	return value, explain(err)
}

func (osKeyring) set(account, value string) error {
	return explain(keyring.Set(serviceName, account, value))
}

func (osKeyring) delete(account string) error {
	return explain(keyring.Delete(serviceName, account))
}

// explain converts errors of the keyring to errors of this package.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, keyring.ErrNotFound):
		return ErrNotFound
	case errors.Is(err, keyring.ErrSetDataTooBig):
		return ErrTooLarge
	case errors.Is(err, keyring.ErrUnsupportedPlatform), isAbsent(err):
		return fmt.Errorf("%w (%w)", ErrAbsent, err)
	}
	return fmt.Errorf("%w: %w", ErrRefused, err)
}
