package credstore

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/seal"
)

const keySize = 32

// sealKeyFile is the key beside the keyring's records: DATA/seal.key, 32 bytes,
// made at first use.
func sealKeyFile(dataDir string) KeySource {
	path := sealKeyPath(dataDir)
	return func(_ context.Context, create bool) (seal.Key, error) {
		raw, err := readOrCreate(path, create, func() []byte { return seal.NewKey().Bytes() })
		if errors.Is(err, fs.ErrNotExist) {
			return seal.Key{}, fmt.Errorf("%w: %s is gone", seal.ErrWrongKey, path)
		}
		if err != nil {
			return seal.Key{}, err
		}
		key, err := seal.KeyFromBytes(raw)
		if err != nil {
			return seal.Key{}, fmt.Errorf("%w: %s: %w", ErrCorrupt, path, err)
		}
		return key, nil
	}
}

func sealKeyPath(dataDir string) string { return filepath.Join(dataDir, "seal.key") }

// NextSealKey is a new key for the keyring's records; commit puts it in the place
// of the present one (see BeginRekey).
func NextSealKey(dataDir string) (key seal.Key, commit func() error) {
	key = seal.NewKey()
	return key, func() error { return writePrivate(sealKeyPath(dataDir), key.Bytes()) }
}

// EnvKey takes the key from a variable's value: 32 bytes in base64 or hex.
func EnvKey(name, value string) KeySource {
	return func(context.Context, bool) (seal.Key, error) {
		key, ok := parseKey(value)
		if !ok {
			return seal.Key{}, &KeyError{Source: name}
		}
		return key, nil
	}
}

// KeyFile takes the key from a file that the user keeps outside the data folder:
// 32 bytes, raw or in base64 or hex. Its mode must be private. Where a key may
// still be made, a missing one is a *KeyError that tells how.
func KeyFile(path, dataDir string) KeySource {
	return func(_ context.Context, create bool) (seal.Key, error) {
		resolved, err := resolveKeyFile(path, dataDir)
		if err != nil {
			return seal.Key{}, err
		}
		raw, err := readFile(resolved, maxSmall)
		if errors.Is(err, fs.ErrNotExist) && create {
			return seal.Key{}, &KeyError{Source: path, Reason: "does not exist: make it with '(umask 077 && head -c 32 /dev/urandom | base64 > FILE)'"}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return seal.Key{}, fmt.Errorf("%w: the key file %s is gone", ErrUnusable, path)
		}
		if err != nil {
			return seal.Key{}, err
		}
		return keyFromFile(path, raw)
	}
}

func keyFromFile(path string, raw []byte) (seal.Key, error) {
	if key, err := seal.KeyFromBytes(raw); err == nil {
		return key, nil
	}
	key, ok := parseKey(string(raw))
	if !ok {
		return seal.Key{}, &KeyError{Source: path}
	}
	return key, nil
}

// Credential takes the key from a file that a service manager has put there
// (systemd.exec(5), LoadCredential=): 32 bytes, raw or in base64 or hex. It may
// belong to root, and nobody else may read it.
func Credential(path string) KeySource {
	return func(context.Context, bool) (seal.Key, error) {
		raw, err := atomicfile.ReadCredential(path, maxSmall)
		if err != nil {
			return seal.Key{}, fmt.Errorf("%w: %w", ErrUnusable, err)
		}
		return keyFromFile(path, raw)
	}
}

// CheckKeyFile refuses a path where no key file may lie.
func CheckKeyFile(path, dataDir string) error {
	if !filepath.IsAbs(path) {
		return &KeyError{Source: path, Reason: "is not an absolute path"}
	}
	_, err := resolveKeyFile(path, dataDir)
	return err
}

// MakeKeyFile makes a key file with a random key, unless there is one already.
func MakeKeyFile(path, dataDir string) error {
	if err := CheckKeyFile(path, dataDir); err != nil {
		return err
	}
	text := base64.StdEncoding.EncodeToString(seal.NewKey().Bytes()) + "\n"
	return createOnce(path, []byte(text))
}

// resolveKeyFile resolves a key file's links and refuses a file inside the data folder.
func resolveKeyFile(path, dataDir string) (string, error) {
	resolved, err := resolve(path)
	if err != nil {
		return "", fmt.Errorf("%w: the key file: %w", ErrUnusable, err)
	}
	data, err := resolve(dataDir)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	if rel, err := filepath.Rel(data, resolved); err == nil && filepath.IsLocal(rel) {
		return "", &KeyError{Source: path, Reason: "is in fob's data folder: a copy of that folder would include its own key"}
	}
	return resolved, nil
}

// KeyError is a key that cannot be used. It names where the key came from and
// never shows it.
type KeyError struct{ Source, Reason string }

func (e *KeyError) Error() string {
	if e.Reason != "" {
		return e.Source + " " + e.Reason
	}
	return e.Source + " does not contain a key: 32 bytes in base64 or hex"
}

func parseKey(text string) (seal.Key, bool) {
	text = strings.TrimRight(strings.TrimSpace(text), "=")
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.RawStdEncoding.DecodeString, base64.RawURLEncoding.DecodeString} {
		if raw, err := decode(text); err == nil {
			if key, err := seal.KeyFromBytes(raw); err == nil {
				return key, true
			}
		}
	}
	return seal.Key{}, false
}
