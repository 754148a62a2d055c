package credstore

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zalando/go-keyring"
	"golang.org/x/sync/errgroup"
)

// serviceName is the service of fob's items in the keyring.
const serviceName = "fob"

// KeyringOptions configures the storage in the OS keyring.
type KeyringOptions struct {
	DataDir string // contains the id of this installation and seal.key
	Getenv  func(string) string
	Notify  func(string)    // prints a line while the keyring may be waiting for the user
	Named   func() []string // the records that the configuration names, as in login/work
}

// NewKeyring returns the storage in the OS keyring: the Secret Service, the macOS Keychain
// or the Windows Credential Manager. It does not access the keyring.
func NewKeyring(o KeyringOptions) *Store {
	backend := &keyringItems{
		dataDir: o.DataDir,
		notify:  o.Notify,
		os:      osKeyring{o.Getenv, new(atomic.Bool)},
		slow:    1500 * time.Millisecond,
		wait:    5 * time.Second,
		unlock:  60 * time.Second,
	}
	return &Store{items: tracedItems{backend, "keyring"}, key: sealKeyFile(o.DataDir), dataDir: o.DataDir, backend: "keyring", named: o.Named}
}

// KeyringReachable returns ErrAbsent if there is no way to reach the OS keyring (on Linux,
// no D-Bus session bus), without connecting to it.
func KeyringReachable(getenv func(string) string) error {
	return osKeyring{getenv: getenv}.reachable()
}

// KeyringMayAsk reports whether reading from the keyring may prompt the user, or fails.
func KeyringMayAsk(getenv func(string) string) bool {
	k := osKeyring{getenv: getenv}
	return k.reachable() != nil || k.asking()
}

// keyringAPI is the part of the OS keyring used here, for tests to replace.
type keyringAPI interface {
	reachable() error                 // ErrAbsent where a call would hang or start a bus
	state() keyringState              // only called after a call was slow or failed
	asking() bool                     // whether a slow call may be waiting for the user
	session() (keyringSession, error) // ends with the process
}

// keyringSession reads and writes items. It may be used concurrently.
type keyringSession interface {
	get(account string) (string, error)
	set(account, value string) error
	delete(account string) error
}

type keyringState int

const (
	stateUnknown keyringState = iota
	stateOpen
	stateLocked
	stateMissing // the service responds, but has no keyring
)

type keyringItems struct {
	dataDir string
	notify  func(string)
	os      keyringAPI

	slow   time.Duration // after this, the keyring may be waiting for the user
	wait   time.Duration // for a response, of each item
	unlock time.Duration // for the user to unlock it

	mu      sync.Mutex     // one call at a time: the first may ask the user
	session keyringSession // created by the first call
	calls   atomic.Int64   // the number of calls that have returned

	// stuckErr is set once a call did not return or the user did not unlock the keyring, to
	// avoid another hang or prompt.
	stuckErr error
}

// maxItem fits into an item on every platform: its 1,500 bytes become 2,000 characters.
// Windows allows 2,560 bytes, and go-keyring on macOS 4,096 for a whole command.
const maxItem = 1500

func (k *keyringItems) limit() int { return maxItem }

// names returns the records by their lock files: not every keyring can list its items.
func (k *keyringItems) names() (names []string) {
	files, _ := os.ReadDir(filepath.Join(k.dataDir, "locks"))
	for _, file := range files {
		if name := lockedRecord(file.Name()); name != "" {
			names = append(names, name)
		}
	}
	return names
}

func (k *keyringItems) get(ctx context.Context, names ...string) ([][]byte, error) {
	accounts, err := k.accounts(names, false)
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(accounts))
	err = k.call(ctx, func() error {
		return k.forEach(len(accounts), func(s keyringSession, i int) (err error) {
			texts[i], err = s.get(accounts[i])
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	sealed := make([][]byte, len(texts))
	for i, text := range texts {
		if sealed[i], err = base64.RawURLEncoding.Strict().DecodeString(text); err != nil {
			return nil, fmt.Errorf("%w: the keyring item %s was not written by fob", ErrCorrupt, accounts[i])
		}
	}
	return sealed, nil
}

func (k *keyringItems) set(ctx context.Context, items ...item) error {
	accounts, err := k.accounts(itemNames(items), false)
	if errors.Is(err, ErrNotFound) { // without a keyring, no id is created, so that an id means that there was one
		err = k.call(ctx, func() error {
			return k.forEach(1, func(s keyringSession, _ int) error {
				_, err := s.get("id")
				return err
			})
		})
		if UnlessMissing(err) == nil {
			accounts, err = k.accounts(itemNames(items), true)
		}
	}
	if err != nil {
		return err
	}
	return k.call(ctx, func() error {
		return k.forEach(len(items), func(s keyringSession, i int) error {
			return s.set(accounts[i], base64.RawURLEncoding.EncodeToString(items[i].sealed))
		})
	})
}

func (k *keyringItems) delete(ctx context.Context, names ...string) (int, error) {
	accounts, err := k.accounts(names, false)
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var deleted atomic.Int32
	err = k.call(ctx, func() error {
		return k.forEach(len(accounts), func(s keyringSession, i int) error {
			err := s.delete(accounts[i])
			if errors.Is(err, keyring.ErrNotFound) {
				return nil
			}
			if err == nil {
				deleted.Add(1)
			}
			return err
		})
	})
	return int(deleted.Load()), err
}

// maxConcurrent bounds concurrent calls: each is a process on macOS, and a round trip
// elsewhere.
const maxConcurrent = 8

// forEach calls do for 0 to n-1 in one session, and returns the first error. The first call runs before all others, since it may prompt the user to unlock the keyring.
func (k *keyringItems) forEach(n int, do func(s keyringSession, i int) error) error {
	if n == 0 {
		return nil
	}
	if k.session == nil {
		session, err := k.os.session()
		if err != nil {
			return err
		}
		k.session = session
	}
	s := k.session
	if err := do(s, 0); err != nil || n == 1 {
		if !errors.Is(err, keyring.ErrNotFound) && err != nil {
			k.session = nil // the service may have been restarted
		}
		return err
	}
	k.calls.Add(1)
	var others errgroup.Group
	others.SetLimit(maxConcurrent)
	for i := 1; i < n; i++ {
		others.Go(func() (err error) {
			defer func() {
				if recover() != nil {
					err = ErrRefused
				}
			}()
			defer k.calls.Add(1)
			return do(s, i)
		})
	}
	return others.Wait()
}

func (k *keyringItems) accounts(names []string, create bool) ([]string, error) {
	id, err := installID(k.dataDir, create)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound // without an id, nothing was stored
	}
	if err != nil {
		return nil, err
	}
	accounts := make([]string, len(names))
	for i, name := range names {
		// The id separates the items of different data folders.
		accounts[i] = id + "/" + name
	}
	return accounts, nil
}

const idBytes = 8

// installID returns the random id of a data folder, creating it at the first use.
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
		return "", fmt.Errorf("%w: %s does not contain an ID", ErrCorrupt, path)
	}
	return string(id), nil
}

// call calls the keyring, unless an earlier call has shown that it would hang or prompt
// again.
func (k *keyringItems) call(ctx context.Context, ask func() error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stuckErr != nil {
		return k.stuckErr
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := k.os.reachable(); err != nil {
		return err
	}
	answers := make(chan error, 1)
	go func() {
		// go-keyring panics if the bus disappears during a prompt.
		defer func() {
			if recover() != nil {
				answers <- ErrRefused
			}
		}()
		answers <- ask()
	}()
	return k.await(ctx, answers)
}

// await waits for a response with a timeout, which is longer if the user may be unlocking
// the keyring, and starts again as long as items are read or written. A call that does not
// return is abandoned.
func (k *keyringItems) await(ctx context.Context, answers <-chan error) error {
	slow, deadline := time.After(k.slow), time.After(k.wait)
	why, before := ErrTimeout, k.calls.Load()
	for {
		select {
		case answer := <-answers:
			err := k.explain(answer)
			if errors.Is(err, ErrLocked) {
				k.stuckErr = err
			}
			return err
		case <-ctx.Done():
			k.stuckErr = ctx.Err()
			return k.stuckErr
		case <-slow:
			if k.os.asking() {
				k.notify("The OS keyring may be waiting for you: look for a window that asks to unlock it or to allow the access.")
				deadline, why = time.After(k.unlock-k.slow), ErrLocked
			}
		case <-deadline:
			if calls := k.calls.Load(); calls != before {
				before, deadline = calls, time.After(k.wait)
				continue
			}
			k.stuckErr = why
			return why
		}
	}
}

// explain converts errors of the keyring to errors of this package.
func (k *keyringItems) explain(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrAbsent), errors.Is(err, ErrLocked):
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

type osKeyring struct {
	getenv    func(string) string
	prompting *atomic.Bool // whether single items are being unlocked; nil: unknown
}
