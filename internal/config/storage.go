package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// The storages that the configuration may name.
const (
	StorageKeyring = "keyring"
	StorageFile    = "file"
	StorageNone    = "none" // nothing is stored: each call gets its credential from the environment
)

const oldStorageNone = "env" // the former name of StorageNone

// Storages returns the storages that store records.
func Storages() []string { return []string{StorageKeyring, StorageFile} }

// StorageError is an invalid storage name.
type StorageError struct{ Name string }

func (e *StorageError) Error() string { return fmt.Sprintf("there is no storage %q", e.Name) }

// StorageFor returns the storage of a record: the pinned one, else FOB_STORAGE, else the
// configured default, else the keyring. fob never falls back to another one on errors.
func (c *Config) StorageFor(pinned string) (string, error) {
	switch name := cmp.Or(pinned, c.storageVariable, c.Storage, StorageKeyring); name {
	case StorageKeyring, StorageFile, StorageNone:
		return name, nil
	case oldStorageNone:
		return StorageNone, nil
	default:
		return "", &StorageError{name}
	}
}

// StoresNothing reports FOB_STORAGE=none: also logins that are stored elsewhere are not used.
func (c *Config) StoresNothing() bool {
	return c.storageVariable == StorageNone || c.storageVariable == oldStorageNone
}

// UsesStorage reports whether a profile's login is in a storage, or the next one would be.
func (c *Config) UsesStorage(storage string) bool {
	in := func(p Profile) bool {
		name, err := c.StorageFor(p.Storage)
		return err == nil && name == storage
	}
	return in(Profile{}) || slices.ContainsFunc(slices.Collect(maps.Values(c.Profiles)), in)
}
