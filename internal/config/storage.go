package config

import (
	"cmp"
	"fmt"
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

// ProfilesIn returns the profiles whose logins are in a storage.
func (c *Config) ProfilesIn(storage string) []Profile {
	var profiles []Profile
	for _, name := range c.Names() {
		p := c.Profiles[name]
		if in, err := c.StorageFor(p.Storage); err == nil && in == storage {
			profiles = append(profiles, p)
		}
	}
	return profiles
}
