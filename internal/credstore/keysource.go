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
	path := filepath.Join(dataDir, "seal.key")
	return func(_ context.Context, create bool) (seal.Key, error) {
		raw, err := atomicfile.Read(path, keySize)
		if errors.Is(err, fs.ErrNotExist) && create {
			if err := createOnce(path, seal.NewKey().Bytes()); err != nil {
				return seal.Key{}, err
			}
			raw, err = atomicfile.Read(path, keySize)
		}
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
// 32 bytes, raw or in base64 or hex. Its mode must be private.
func KeyFile(path, dataDir string) KeySource {
	return func(context.Context, bool) (seal.Key, error) {
		resolved, err := outside(path, dataDir)
		if err != nil {
			return seal.Key{}, err
		}
		raw, err := atomicfile.Read(resolved, 4096)
		if err != nil {
			return seal.Key{}, fmt.Errorf("reading the key file: %w", err)
		}
		if key, err := seal.KeyFromBytes(raw); err == nil {
			return key, nil
		}
		key, ok := parseKey(string(raw))
		if !ok {
			return seal.Key{}, &KeyError{Source: path}
		}
		return key, nil
	}
}

// MakeKeyFile makes a key file with a random key, unless there is one already.
func MakeKeyFile(path, dataDir string) error {
	if !filepath.IsAbs(path) {
		return &KeyError{Source: path, Reason: "is not an absolute path"}
	}
	if _, err := outside(path, dataDir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if rel, err := filepath.Rel(dataDir, path); err == nil && filepath.IsLocal(rel) {
		return &KeyError{Source: path, Reason: insideData}
	}
	text := base64.StdEncoding.EncodeToString(seal.NewKey().Bytes()) + "\n"
	return createOnce(path, []byte(text))
}

const insideData = "lies in fob's data folder: whoever copies the one would have the other"

// outside resolves a key file's links and refuses one inside the data folder.
func outside(path, dataDir string) (string, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("reading the key file: %w", err)
	}
	data, err := filepath.EvalSymlinks(dataDir)
	if errors.Is(err, fs.ErrNotExist) {
		data, err = dataDir, nil
	}
	if err != nil {
		return "", err
	}
	if rel, err := filepath.Rel(data, resolved); err == nil && filepath.IsLocal(rel) {
		return "", &KeyError{Source: path, Reason: insideData}
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
	return e.Source + " does not hold a key: 32 bytes in base64 or hex"
}

// parseKey reads 32 bytes in hex or any base64.
func parseKey(text string) (seal.Key, bool) {
	text = strings.TrimSpace(text)
	if raw, err := hex.DecodeString(text); err == nil {
		if key, err := seal.KeyFromBytes(raw); err == nil {
			return key, true
		}
	}
	unpadded := strings.TrimRight(text, "=")
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if raw, err := encoding.DecodeString(unpadded); err == nil {
			if key, err := seal.KeyFromBytes(raw); err == nil {
				return key, true
			}
		}
	}
	return seal.Key{}, false
}
