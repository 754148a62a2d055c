package credstore

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/zalando/go-keyring"
)

// service is the name under which all items of fob stand in the keyring.
const service = "fob"

// KeyringOptions say whose keyring items these are.
type KeyringOptions struct {
	DataDir string // holds the install's id and seal.key
	Getenv  func(string) string
	Notify  func(string) // shows a line to a person who may be unlocking the keyring
}

// NewKeyring is the storage in the OS keyring: the Secret Service, the macOS
// Keychain or the Windows Credential Manager. Nothing is touched before it is used.
func NewKeyring(o KeyringOptions) *Store {
	backend := &keyringItems{
		dataDir: o.DataDir,
		notify:  o.Notify,
		os:      osKeyring{getenv: o.Getenv},
		slow:    1500 * time.Millisecond,
		wait:    5 * time.Second,
		unlock:  60 * time.Second,
	}
	return &Store{items: backend, key: sealKeyFile(o.DataDir)}
}

// keyringAPI is the OS keyring as this package uses it, so that tests can hang it.
type keyringAPI interface {
	reachable() error    // ErrAbsent where asking would hang or start a bus
	state() keyringState // asked only after a call was slow or failed
	asking() bool        // whether a slow call may be waiting for a person
	get(account string) (string, error)
	set(account, value string) error
	delete(account string) error
}

// keyringState tells why a keyring may have refused.
type keyringState int

const (
	stateUnknown keyringState = iota
	stateOpen
	stateLocked
	stateMissing // the service answers, and has no keyring to keep anything in
)

// keyringItems keeps each record in one keyring item.
type keyringItems struct {
	dataDir string
	notify  func(string)
	os      keyringAPI

	slow   time.Duration // after it, a person may be at work
	wait   time.Duration // for an answer
	unlock time.Duration // for a person who unlocks it

	// stuck is set once a call did not come back or a person did not unlock: no
	// second call, no second prompt. One goroutine at a time uses a store.
	stuck error
}

func (k *keyringItems) get(ctx context.Context, kind, name string) ([]byte, error) {
	account, err := k.account(kind, name, false)
	if err != nil {
		return nil, err
	}
	text, err := k.call(ctx, func() (string, error) { return k.os.get(account) })
	if err != nil {
		return nil, err
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: the keyring item %s is not one that fob wrote", ErrCorrupt, account)
	}
	return sealed, nil
}

func (k *keyringItems) set(ctx context.Context, kind, name string, sealed []byte) error {
	account, err := k.account(kind, name, true)
	if err != nil {
		return err
	}
	text := base64.RawURLEncoding.EncodeToString(sealed)
	_, err = k.call(ctx, func() (string, error) { return "", k.os.set(account, text) })
	return err
}

func (k *keyringItems) delete(ctx context.Context, kind, name string) error {
	account, err := k.account(kind, name, false)
	if err != nil {
		return err
	}
	_, err = k.call(ctx, func() (string, error) { return "", k.os.delete(account) })
	return err
}

// account names an item by install, kind and name: two data folders never share
// one. An install that has no id yet has no items either.
func (k *keyringItems) account(kind, name string, create bool) (string, error) {
	id, err := installID(k.dataDir, create)
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrNotFound
	}
	if err != nil {
		return "", err
	}
	return id + "/" + kind + "/" + name, nil
}

const idBytes = 8

// installID reads the random name of this data folder, and makes it at first use.
func installID(dataDir string, create bool) (string, error) {
	path := filepath.Join(dataDir, "id")
	id, err := readOrCreate(path, create, func() []byte {
		fresh := make([]byte, idBytes)
		_, _ = rand.Read(fresh)
		return []byte(hex.EncodeToString(fresh))
	})
	if err != nil {
		return "", err
	}
	if raw, err := hex.DecodeString(string(id)); err != nil || len(raw) != idBytes {
		return "", fmt.Errorf("%w: %s does not hold an id", ErrCorrupt, path)
	}
	return string(id), nil
}

type keyringAnswer struct {
	text string
	err  error
}

// call asks the keyring, unless an earlier call shows that it would only hang or
// prompt again.
func (k *keyringItems) call(ctx context.Context, ask func() (string, error)) (string, error) {
	if k.stuck != nil {
		return "", k.stuck
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if err := k.os.reachable(); err != nil {
		return "", err
	}
	answers := make(chan keyringAnswer, 1)
	go func() {
		// go-keyring panics when the bus goes away under a prompt.
		defer func() {
			if recover() != nil {
				answers <- keyringAnswer{err: ErrRefused}
			}
		}()
		text, err := ask()
		answers <- keyringAnswer{text, err}
	}()
	return k.await(ctx, answers)
}

// await waits for the answer under a deadline, which is longer while a person may
// be unlocking. A call that does not come back is abandoned with the process.
func (k *keyringItems) await(ctx context.Context, answers <-chan keyringAnswer) (string, error) {
	slow, deadline := time.After(k.slow), time.After(k.wait)
	why := ErrTimeout
	for {
		select {
		case answer := <-answers:
			err := k.explain(answer.err)
			if errors.Is(err, ErrLocked) {
				k.stuck = err
			}
			return answer.text, err
		case <-ctx.Done():
			k.stuck = ctx.Err()
			return "", k.stuck
		case <-slow:
			if k.os.asking() {
				k.notify("The OS keyring may be waiting for you: look for a window that asks to unlock it or to allow the access.")
				deadline, why = time.After(k.unlock-k.slow), ErrLocked
			}
		case <-deadline:
			k.stuck = why
			return "", why
		}
	}
}

// explain turns the keyring's error into one of this package's.
func (k *keyringItems) explain(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrAbsent):
		return err
	case errors.Is(err, keyring.ErrNotFound):
		return ErrNotFound
	case errors.Is(err, keyring.ErrSetDataTooBig):
		return ErrTooLarge
	case errors.Is(err, keyring.ErrUnsupportedPlatform), isAbsent(err):
		return fmt.Errorf("%w (%w)", ErrAbsent, err)
	}
	switch k.os.state() {
	case stateLocked:
		return ErrLocked
	case stateMissing:
		return fmt.Errorf("%w: the keyring service has no default keyring", ErrAbsent)
	default:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
}

// osKeyring is the real keyring, through go-keyring.
type osKeyring struct{ getenv func(string) string }

func (osKeyring) get(account string) (string, error) { return keyring.Get(service, account) }
func (osKeyring) set(account, value string) error    { return keyring.Set(service, account, value) }
func (osKeyring) delete(account string) error        { return keyring.Delete(service, account) }
