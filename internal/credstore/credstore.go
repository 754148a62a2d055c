// Package credstore stores named, sealed records in the OS keyring or in files, and
// provides the seal key.
//
// Absent, locked, timed out, corrupt, tampered, wrong key and not found are different
// errors, and must never be mistaken for each other.
package credstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/trace"
)

// Why a record could not be read or written, besides the errors of package seal.
var (
	ErrNotFound   = errors.New("no such record")
	ErrAbsent     = errors.New("there is no OS keyring here")
	ErrLocked     = errors.New("the OS keyring is locked")
	ErrTimeout    = errors.New("the OS keyring did not answer")
	ErrRefused    = errors.New("the OS keyring refused")
	ErrCorrupt    = errors.New("the stored record is damaged")
	ErrNotWritten = errors.New("the record was not saved")
	ErrTooLarge   = errors.New("the record is too large for this storage")
	ErrNoKey      = errors.New("the encrypted files need their key")
	ErrKeyMissing = errors.New("the seal key is missing")
	ErrKeyDamaged = errors.New("the seal key is damaged")
	ErrUnusable   = errors.New("the storage cannot be used") // a storage in files
)

// Backend returns where the records are: "keyring" or "file".
func (s *Store) Backend() string { return s.backend }

// MaxRecord is the maximum size of a record, head and body together, in bytes: a secret of
// 64 KiB, its replacement and their settings. All backends have the same limit, so that
// records can move between them.
const MaxRecord = 132 << 10

// Record is what a Store stores under a name: a head that can be read separately, and a
// body.
type Record struct{ Head, Body []byte }

// Store seals records and stores them in one backend. It must not be used concurrently, and
// changing a record requires the record's lock.
type Store struct {
	items   items
	key     KeySource
	dataDir string
	backend string          // "keyring" or "file"; part of file names next to the records
	named   func() []string // the records that the configuration names, in case lock files are lost; may be nil

	proven atomic.Bool // the key has opened a record
	claims bool        // see Claims

	replaced []string // see MarkReplaced
}

// items is a backend: it stores sealed bytes by name. Calls for several names may run
// concurrently.
type items interface {
	names() []string // of records; some may be missing
	limit() int      // bytes of the largest item; 0: any record fits one
	get(ctx context.Context, names ...string) ([][]byte, error)
	set(ctx context.Context, items ...item) error
	delete(ctx context.Context, names ...string) (deleted int, err error) // skips missing ones
}

type item struct {
	name   string
	sealed []byte
}

// KeySource returns the seal key. With create, it creates a missing one; otherwise that is
// ErrKeyMissing or ErrNoKey, because records cannot be opened without it.
type KeySource func(ctx context.Context, create bool) (seal.Key, error)

// Get returns a record; c must be the context that it was stored with.
func (s *Store) Get(ctx context.Context, c seal.Context) (Record, error) {
	for {
		r, m, err := s.readHead(ctx, c)
		if err != nil || m == nil {
			return r, err
		}
		r.Body, err = s.readBody(ctx, c, m)
		if err == nil || !errors.Is(err, ErrCorrupt) {
			return r, err
		}
		// Without a lock, a concurrent write may have deleted the pieces: retry with the
		// new head.
		if _, now, headErr := s.readHead(ctx, c); headErr != nil || now != nil && *now == *m {
			return Record{}, errors.Join(err, headErr)
		}
	}
}

// Peek returns a record's head. The body is nil if it would take further reads.
func (s *Store) Peek(ctx context.Context, c seal.Context) (Record, error) {
	r, _, err := s.readHead(ctx, c)
	return r, err
}

// Set replaces a record and reads it back: some backends report success but store nothing
// (ErrNotWritten). After a failure or a crash, the previous record is intact.
func (s *Store) Set(ctx context.Context, c seal.Context, r Record) error {
	if len(r.Head)+len(r.Body) > MaxRecord {
		return fmt.Errorf("%w: it has %d bytes, the limit is %d", ErrTooLarge, len(r.Head)+len(r.Body), MaxRecord)
	}
	key, err := s.writingKey(ctx)
	if err != nil {
		return err
	}
	inline := key.Seal(c, encodeInline(r))
	reach, err := s.pieceBound(c)
	if err != nil {
		return err
	}
	if fits := s.items.limit() == 0 || len(inline) <= s.items.limit(); fits && reach == 0 {
		return s.setVerified(ctx, item{itemName(c), inline})
	} else if fits {
		return s.replacePieces(ctx, c, inline, nil, 'a', reach)
	}
	return s.setInPieces(ctx, c, key, r, reach)
}

func (s *Store) setVerified(ctx context.Context, items ...item) error {
	if err := s.items.set(ctx, items...); err != nil {
		return err
	}
	kept, err := s.items.get(ctx, itemNames(items)...)
	if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrCorrupt) {
		return fmt.Errorf("reading the record back: %w", err)
	}
	if !slices.EqualFunc(kept, items, func(k []byte, i item) bool { return bytes.Equal(k, i.sealed) }) {
		return ErrNotWritten
	}
	return nil
}

// Delete removes a record and checks that it is gone. A missing one is ErrNotFound.
func (s *Store) Delete(ctx context.Context, c seal.Context) error {
	deleted, err := s.items.delete(ctx, itemName(c))
	if err != nil {
		return err
	}
	switch _, err := s.items.get(ctx, itemName(c)); {
	case err == nil:
		return fmt.Errorf("%w: the record is still there after it was deleted", ErrRefused)
	case !errors.Is(err, ErrNotFound):
		return fmt.Errorf("checking that the record is gone: %w", err)
	}
	if _, err := s.sweep(ctx, c, false); err != nil {
		return err
	}
	if deleted == 0 {
		return ErrNotFound
	}
	return nil
}

// Probe tests the storage with a temporary record of the given size.
func (s *Store) Probe(ctx context.Context, size int) error {
	name, body := make([]byte, 8), make([]byte, size)
	_, _ = rand.Read(name)
	_, _ = rand.Read(body)
	c := seal.Context{Kind: "probe", Profile: hex.EncodeToString(name)}
	err := s.Set(ctx, c, Record{Head: name, Body: body})
	if err != nil { // the record may exist, unreadable; Set reports its own error
		_, _ = s.items.delete(ctx, itemName(c))
		_, _ = s.sweep(ctx, c, false)
		return err
	}
	kept, err := s.Get(ctx, c)
	if err == nil && !bytes.Equal(kept.Body, body) {
		err = ErrNotWritten
	}
	return errors.Join(err, s.Delete(ctx, c))
}

func itemName(c seal.Context) string { return c.Kind + "/" + c.Profile }

func itemNames(items []item) []string {
	list := make([]string, len(items))
	for i := range items {
		list[i] = items[i].name
	}
	return list
}

// Size is the space that a record takes in the backend.
type Size struct {
	Items int // 1, or a head and its pieces
	Bytes int // sealed, in all items
}

// Measure reads a record completely and returns its size.
func (s *Store) Measure(ctx context.Context, c seal.Context) (Size, error) {
	sealed, err := s.items.get(ctx, itemName(c))
	if err != nil {
		return Size{}, err
	}
	size := Size{Items: 1, Bytes: len(sealed[0])}
	_, m, err := s.readHead(ctx, c)
	if err != nil || m == nil {
		return size, err
	}
	pieces, err := s.items.get(ctx, pieceNames(c, m.generation, 0, int(m.count))...)
	for _, piece := range pieces {
		size.Items++
		size.Bytes += len(piece)
	}
	return size, err
}

// Claims returns the store for records whose issuer and client are unknown. What it reads is
// not authenticated: use it only to find these, and then to open the record.
func (s *Store) Claims() *Store {
	return &Store{items: s.items, key: s.key, dataDir: s.dataDir, backend: s.backend, claims: true}
}

// NamesExcept returns the names of the stored records, as in login/work, but not the known ones.
// The error has those that may be stored.
func (s *Store) NamesExcept(ctx context.Context, isKnown func(name string) bool) (names []string, err error) {
	var failed []error
	for _, name := range slices.DeleteFunc(s.items.names(), isKnown) {
		switch _, err := s.items.get(ctx, name); {
		case err == nil, errors.Is(err, ErrCorrupt), errors.Is(err, ErrUnusable):
			names = append(names, name)
		case !errors.Is(err, ErrNotFound):
			failed = append(failed, fmt.Errorf("%s: %w", name, err))
		}
	}
	return names, errors.Join(failed...)
}

// CheckKey checks that the seal key is available, without creating one.
func (s *Store) CheckKey(ctx context.Context) error {
	_, err := s.key(ctx, false)
	return err
}

type tracedItems struct {
	items
	backend string
}

func (t tracedItems) get(ctx context.Context, names ...string) ([][]byte, error) {
	start := time.Now()
	all, err := t.items.get(ctx, names...)
	t.show(ctx, "get", names, err, start)
	return all, err
}

func (t tracedItems) set(ctx context.Context, items ...item) error {
	start := time.Now()
	err := t.items.set(ctx, items...)
	t.show(ctx, "set", itemNames(items), err, start)
	return err
}

func (t tracedItems) delete(ctx context.Context, names ...string) (int, error) {
	start := time.Now()
	deleted, err := t.items.delete(ctx, names...)
	t.show(ctx, fmt.Sprintf("delete (%d)", deleted), names, err, start)
	return deleted, err
}

func (t tracedItems) show(ctx context.Context, call string, names []string, err error, start time.Time) {
	if trace.On(ctx) {
		trace.Printf(ctx, "storage %s: %s %s: %s", t.backend, call, strings.Join(names, " "), trace.Outcome(err, start))
	}
}
