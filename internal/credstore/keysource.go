package credstore

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/secret"
)

const keySize = 32

// sealKeyFile returns the key of the keyring's records, DATA/seal.key with 32 bytes,
// created at the first use.
func sealKeyFile(dataDir string) KeySource {
	path := sealKeyPath(dataDir)
	return func(_ context.Context, create bool) (seal.Key, error) {
		raw, err := readOrCreate(path, create, func() []byte { return seal.NewKey().Bytes() })
		if errors.Is(err, fs.ErrNotExist) {
			return seal.Key{}, fmt.Errorf("%w: %s", ErrKeyMissing, path)
		}
		if err != nil {
			return seal.Key{}, err
		}
		key, err := seal.KeyFromBytes(raw)
		if err != nil {
			return seal.Key{}, fmt.Errorf("%w: %s: %w", ErrKeyDamaged, path, err)
		}
		return key, nil
	}
}

func sealKeyPath(dataDir string) string { return filepath.Join(dataDir, "seal.key") }

// NextSealKey returns a new key for the keyring's records; commit replaces the current one
// (see BeginRekey).
func NextSealKey(dataDir string) (key seal.Key, commit func() error) {
	key = seal.NewKey()
	return key, func() error { return writePrivate(sealKeyPath(dataDir), key.Bytes()) }
}

// EnvKey returns the key in a variable: 32 bytes in base64 or hex.
func EnvKey(name, value string) KeySource {
	return func(context.Context, bool) (seal.Key, error) {
		key, ok := parseKey(value)
		if !ok {
			return seal.Key{}, &KeyError{Source: name}
		}
		return key, nil
	}
}

// KeyFile returns the key in a private file outside the data folder: 32 bytes, raw or in
// base64 or hex. With create, a missing one is a *KeyError that explains how to create it.
func KeyFile(path, dataDir string) KeySource {
	return func(_ context.Context, create bool) (seal.Key, error) {
		resolved, err := resolveKeyFile(path, dataDir)
		if err != nil {
			return seal.Key{}, err
		}
		raw, err := readFile(resolved, maxSmall)
		if errors.Is(err, fs.ErrNotExist) && create {
			return seal.Key{}, &KeyError{Source: path, Reason: "does not exist: create it with '(umask 077 && head -c 32 /dev/urandom | base64 > FILE)'"}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return seal.Key{}, fmt.Errorf("%w: %s", ErrKeyMissing, path)
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
	text, err := sanitize.Decode(raw)
	key, ok := parseKey(string(text))
	if err != nil || !ok {
		return seal.Key{}, &KeyError{Source: path}
	}
	return key, nil
}

// Credential returns the key in a file provided by a service manager (systemd.exec(5),
// LoadCredential=): 32 bytes, raw or in base64 or hex. The file may belong to root, but
// others must not be able to read it.
func Credential(path string) KeySource {
	return func(context.Context, bool) (seal.Key, error) {
		raw, err := atomicfile.ReadCredential(path, maxSmall)
		if err != nil {
			return seal.Key{}, fmt.Errorf("%w: %w", ErrUnusable, err)
		}
		return keyFromFile(path, raw)
	}
}

// CheckKeyFile rejects paths that are unsuitable for a key file.
func CheckKeyFile(path, dataDir string) error {
	if !filepath.IsAbs(path) {
		return &KeyError{Source: path, Reason: "is not an absolute path"}
	}
	_, err := resolveKeyFile(path, dataDir)
	return err
}

// MakeKeyFile creates a key file with a random key, unless it exists.
func MakeKeyFile(path, dataDir string) error {
	if err := CheckKeyFile(path, dataDir); err != nil {
		return err
	}
	text := base64.StdEncoding.EncodeToString(seal.NewKey().Bytes()) + "\n"
	return createOnce(path, []byte(text))
}

// resolveKeyFile resolves links and rejects a file inside the data folder.
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

// KeyError is an unusable key. It contains where the key came from, but not the key.
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

// PassphraseOptions configures a key derived from a passphrase.
type PassphraseOptions struct {
	DataDir string
	// Ask returns the passphrase, or with confirm a new one.
	Ask func(ctx context.Context, confirm bool) (secret.Secret, error)
}

// kdfParams is DATA/seal.json: how to derive the key, and its id.
type kdfParams struct {
	KDF       string `json:"kdf"`
	Salt      []byte `json:"salt"`
	Time      uint32 `json:"time"`
	MemoryKiB uint32 `json:"memory_kib"`
	Threads   uint8  `json:"threads"`
	KeyID     string `json:"key_id"` // hex; distinguishes a wrong passphrase from damage
}

// Argon2id with the parameters of RFC 9106 §4 for little memory, and upper bounds in case
// seal.json was modified.
const (
	argonTime, maxArgonTime           = 3, 10
	argonMemoryKiB, maxArgonMemoryKiB = 64 << 10, 1 << 20
	argonThreads, maxArgonThreads     = 4, 16
	saltSize                          = 16
	derivationWait                    = time.Minute
)

// Passphrase derives the key from a passphrase with Argon2id, in one process at a time to
// bound the memory that many scripts use. It asks once per process. A wrong passphrase is
// seal.ErrWrongKey.
func Passphrase(o PassphraseOptions) KeySource {
	var mu sync.Mutex // so that concurrent calls ask once
	var known *seal.Key
	return func(ctx context.Context, create bool) (seal.Key, error) {
		mu.Lock()
		defer mu.Unlock()
		if known != nil && o.isCurrent(*known) {
			return *known, nil
		}
		key, err := o.key(ctx, create)
		if err == nil {
			known = &key
		}
		return key, err
	}
}

func (o PassphraseOptions) path() string { return filepath.Join(o.DataDir, "seal.json") }

// isCurrent reports whether a key is still the current one: another process may have set a
// new passphrase.
func (o PassphraseOptions) isCurrent(key seal.Key) bool {
	params, err := readParams(o.path())
	return err == nil && params.KeyID == keyID(key)
}

// NextPassphrase asks for a new passphrase; commit replaces the current one (see
// BeginRekey).
func NextPassphrase(ctx context.Context, o PassphraseOptions) (key seal.Key, commit func() error, err error) {
	passphrase, err := o.Ask(ctx, true)
	if err != nil {
		return key, nil, err
	}
	if passphrase.IsZero() {
		return key, nil, &KeyError{Source: "the passphrase", Reason: "is empty"}
	}
	params, key := newParams(passphrase)
	text, err := json.Marshal(params)
	return key, func() error { return writePrivate(o.path(), append(text, '\n')) }, err
}

// ForgetPassphrase deletes the derivation's parameters, after a switch to another kind of
// key.
func ForgetPassphrase(dataDir string) error {
	return remove(PassphraseOptions{DataDir: dataDir}.path())
}

func (o PassphraseOptions) key(ctx context.Context, create bool) (seal.Key, error) {
	path := o.path()
	params, err := readParams(path)
	fresh := errors.Is(err, fs.ErrNotExist)
	if fresh && !create {
		return seal.Key{}, fmt.Errorf("%w, and no passphrase was set for them", ErrNoKey)
	}
	if err != nil && !fresh {
		return seal.Key{}, err
	}
	passphrase, err := o.Ask(ctx, fresh)
	if err != nil {
		return seal.Key{}, err
	}
	if passphrase.IsZero() {
		return seal.Key{}, &KeyError{Source: "the passphrase", Reason: "is empty"}
	}
	lock, err := filelock.Acquire(ctx, filepath.Join(o.DataDir, "locks", "seal.lock"), derivationWait)
	if err != nil {
		return seal.Key{}, err
	}
	defer lock.Release()
	if fresh {
		if params, err = firstParams(path, passphrase); err != nil {
			return seal.Key{}, err
		}
	}
	key := params.derive(passphrase)
	if params.KeyID != keyID(key) {
		return seal.Key{}, fmt.Errorf("%w: the passphrase differs from the one that the storage was created with", seal.ErrWrongKey)
	}
	return key, nil
}

func readParams(path string) (kdfParams, error) {
	var p kdfParams
	text, err := readFile(path, maxSmall)
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return p, fmt.Errorf("%w: %s was not written by fob", ErrKeyDamaged, path)
	}
	if p.KDF != "argon2id" || len(p.Salt) < saltSize || p.Time < 1 || p.Time > maxArgonTime ||
		p.MemoryKiB < 8<<10 || p.MemoryKiB > maxArgonMemoryKiB || p.Threads < 1 || p.Threads > maxArgonThreads {
		return p, fmt.Errorf("%w: %s has parameters that fob does not accept", ErrKeyDamaged, path)
	}
	return p, nil
}

// firstParams writes salt, parameters and key id, unless another process did so while the
// user was being asked.
func firstParams(path string, passphrase secret.Secret) (kdfParams, error) {
	if siblings, err := readParams(path); !errors.Is(err, fs.ErrNotExist) {
		return siblings, err
	}
	p, _ := newParams(passphrase)
	text, err := json.Marshal(p)
	if err != nil {
		return p, err
	}
	if err := createOnce(path, append(text, '\n')); err != nil {
		return p, fmt.Errorf("%w: %w", ErrNotWritten, err)
	}
	return readParams(path)
}

func newParams(passphrase secret.Secret) (kdfParams, seal.Key) {
	p := kdfParams{KDF: "argon2id", Salt: make([]byte, saltSize), Time: argonTime, MemoryKiB: argonMemoryKiB, Threads: argonThreads}
	_, _ = rand.Read(p.Salt)
	key := p.derive(passphrase)
	p.KeyID = keyID(key)
	return p, key
}

func (p kdfParams) derive(passphrase secret.Secret) seal.Key {
	raw := argon2.IDKey([]byte(passphrase.Reveal()), p.Salt, p.Time, p.MemoryKiB, p.Threads, keySize)
	key, err := seal.KeyFromBytes(raw)
	if err != nil {
		panic(err) // only for another size
	}
	return key
}

func keyID(key seal.Key) string { return fmt.Sprintf("%x", key.ID()) }
