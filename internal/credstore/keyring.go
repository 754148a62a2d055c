package credstore

import (
	"cmp"
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
		os:      newOSKeyring(o.Getenv),
		limits:  patience{slow: 1500 * time.Millisecond, wait: 5 * time.Second, unlock: 60 * time.Second, notify: o.Notify},
	}
	return &Store{items: tracedItems{backend, "keyring"}, key: sealKeyFile(o.DataDir), dataDir: o.DataDir, backend: "keyring", named: o.Named}
}

// KeyringReachable returns ErrAbsent if there is no way to reach the OS keyring (on Linux,
// no D-Bus session bus), without connecting to it.
func KeyringReachable(getenv func(string) string) error {
	return newOSKeyring(getenv).reachable()
}

// KeyringMayAsk reports whether reading from the keyring may prompt the user, or fails.
func KeyringMayAsk(getenv func(string) string) bool {
	k := newOSKeyring(getenv)
	return k.reachable() != nil || k.asking()
}

// keyringAPI is the OS keyring, for tests to replace. It returns errors of this package.
type keyringAPI interface {
	reachable() error // ErrAbsent where a call would hang or start a bus
	asking() bool     // whether a slow call may be waiting for the user

	// each calls do for 0 to n-1 until the first error, and waits as long as p allows. The
	// other methods are only called by do.
	each(p *patience, n int, do func(i int) error) error
	get(account string) (string, error)
	set(account, value string) error
	delete(account string) error
}

// patience is how long a call waits for the keyring.
type patience struct {
	slow   time.Duration // after this, the keyring may be waiting for the user
	wait   time.Duration // for a response, of each item
	unlock time.Duration // for the user to unlock it
	notify func(string)

	ctx        context.Context
	timeoutErr error // of the next timeout; nil before the first one
}

// next returns the timeout of the next item.
func (p *patience) next() time.Duration {
	if p.timeoutErr == nil {
		return p.slow
	}
	return p.wait
}

// more returns how much longer to wait after a timeout, or an error.
func (p *patience) more(asking func() bool) (time.Duration, error) {
	if err := cmp.Or(p.ctx.Err(), p.timeoutErr); err != nil {
		return 0, err
	}
	if !asking() {
		p.timeoutErr = ErrTimeout
		return p.wait - p.slow, nil
	}
	p.notify("The OS keyring may be waiting for you: look for a window that asks to unlock it or to allow the access.")
	p.timeoutErr = ErrLocked
	return p.unlock - p.slow, nil
}

type keyringItems struct {
	dataDir string
	os      keyringAPI
	limits  patience // of each call

	mu sync.Mutex // one call at a time: the first may ask the user

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
	err = k.each(ctx, len(accounts), func(i int) (err error) {
		texts[i], err = k.os.get(accounts[i])
		return err
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
		err = k.each(ctx, 1, func(int) error {
			_, err := k.os.get("id")
			return err
		})
		if UnlessMissing(err) == nil {
			accounts, err = k.accounts(itemNames(items), true)
		}
	}
	if err != nil {
		return err
	}
	return k.each(ctx, len(items), func(i int) error {
		return k.os.set(accounts[i], base64.RawURLEncoding.EncodeToString(items[i].sealed))
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
	err = k.each(ctx, len(accounts), func(i int) error {
		err := k.os.delete(accounts[i])
		if err == nil {
			deleted.Add(1)
		}
		return UnlessMissing(err)
	})
	return int(deleted.Load()), err
}

// each calls the keyring, unless an earlier call has shown that it would hang or prompt
// again.
func (k *keyringItems) each(ctx context.Context, n int, do func(i int) error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stuckErr != nil {
		return k.stuckErr
	}
	if err := ctx.Err(); err != nil || n == 0 {
		return err
	}
	p := k.limits
	p.ctx = ctx
	err := k.os.each(&p, n, do)
	if errors.Is(err, ErrLocked) || errors.Is(err, ErrTimeout) || err != nil && errors.Is(err, ctx.Err()) {
		k.stuckErr = err
	}
	return err
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

// maxConcurrent bounds concurrent calls: each is a process on macOS.
const maxConcurrent = 8

// concurrently is keyringAPI.each for calls that block: those that do not return in time
// are abandoned. The first one runs before all others, since it may prompt the user.
func concurrently(p *patience, asking func() bool, n int, do func(i int) error) error {
	var calls atomic.Int64 // that have returned
	result := make(chan error, 1)
	go func() {
		err := do(0)
		calls.Add(1)
		var others errgroup.Group
		others.SetLimit(maxConcurrent)
		for i := 1; i < n && err == nil; i++ {
			others.Go(func() error {
				defer calls.Add(1)
				return do(i)
			})
		}
		result <- cmp.Or(others.Wait(), err)
	}()
	timeout, before := time.After(p.next()), int64(0)
	for {
		select {
		case err := <-result:
			return err
		case <-p.ctx.Done():
			return p.ctx.Err()
		case <-timeout:
			longer, now := p.next(), calls.Load()
			if now == before {
				var err error
				if longer, err = p.more(asking); err != nil {
					return err
				}
			}
			timeout, before = time.After(longer), now
		}
	}
}
