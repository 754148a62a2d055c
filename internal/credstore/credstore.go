// Package credstore keeps named records, sealed, in the OS keyring or in files,
// and knows where the key of the seal comes from.
//
// Absent, locked, timed out, corrupt, tampered, wrong key and not found are
// different errors. None of them may be read as another.
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
	"time"

	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/trace"
)

// Why a record could not be read or written, beside the errors of package seal.
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
	ErrUnusable   = errors.New("the storage cannot be used") // its files, that is
)

// Backend names where the records lie: "keyring" or "file".
func (s *Store) Backend() string { return s.backend }

// MaxRecord is the largest record that a Store takes, head and body together, in bytes:
// a secret of 64 KiB and the one that replaces it, and what is said of them. Every
// backend holds as much, so that a record can move between them.
const MaxRecord = 132 << 10

// Record is what a Store keeps under a name: a head that is read alone, and the
// rest.
type Record struct{ Head, Body []byte }

// Store seals records and keeps them in one backend. One goroutine at a time uses
// it, and the caller holds a lock while it changes a record.
type Store struct {
	items   items
	key     KeySource
	dataDir string
	backend string // "keyring" or "file", in the names of the files beside the records
}

// items is a backend: it keeps sealed bytes under names. Calls with several names
// may go on at once.
type items interface {
	limit() int // bytes of the largest item; 0: any record fits one
	get(ctx context.Context, names ...string) ([][]byte, error)
	set(ctx context.Context, items ...item) error
	delete(ctx context.Context, names ...string) (deleted int, err error) // passes over missing ones
}

type item struct {
	name   string
	sealed []byte
}

// KeySource gives the seal key. With create it makes one where there is none yet;
// without, a missing one is seal.ErrWrongKey or ErrNoKey, since nothing opens without it.
type KeySource func(ctx context.Context, create bool) (seal.Key, error)

// Get returns a record as it was set for the same context.
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
		// Who reads without a lock may have lost the pieces to a sibling's write.
		if _, now, headErr := s.readHead(ctx, c); headErr != nil || now != nil && *now == *m {
			return Record{}, errors.Join(err, headErr)
		}
	}
}

// Peek returns a record's head. The body is nil where it would have to be read
// for itself.
func (s *Store) Peek(ctx context.Context, c seal.Context) (Record, error) {
	r, _, err := s.readHead(ctx, c)
	return r, err
}

// Set replaces a record and reads it back: a backend may say yes and keep
// nothing, which is ErrNotWritten. A failure or a crash leaves the record before
// whole.
func (s *Store) Set(ctx context.Context, c seal.Context, r Record) error {
	if len(r.Head)+len(r.Body) > MaxRecord {
		return fmt.Errorf("%w: it has %d bytes, the limit is %d", ErrTooLarge, len(r.Head)+len(r.Body), MaxRecord)
	}
	key, err := s.key(ctx, true)
	if err != nil {
		return err
	}
	whole := key.Seal(c, encodeInline(r))
	reach, err := s.reach(c)
	if err != nil {
		return err
	}
	if fits := s.items.limit() == 0 || len(whole) <= s.items.limit(); fits && reach == 0 {
		return s.setVerified(ctx, item{itemName(c), whole})
	} else if fits {
		return s.replacePieces(ctx, c, whole, nil, 'a', reach)
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

// Delete removes a record and looks whether it is gone. A missing one is
// ErrNotFound.
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

// Probe tries the storage with a record of its own of some bytes, and leaves
// nothing.
func (s *Store) Probe(ctx context.Context, size int) error {
	name, body := make([]byte, 8), make([]byte, size)
	_, _ = rand.Read(name)
	_, _ = rand.Read(body)
	c := seal.Context{Kind: "probe", Profile: hex.EncodeToString(name)}
	err := s.Set(ctx, c, Record{Head: name, Body: body})
	if err != nil { // it may be there, unread; Set's error counts
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

// Size is what a record takes in the backend.
type Size struct {
	Items int // 1, or a head and its pieces
	Bytes int // sealed, in all items
}

// Measure reads a whole record and returns its size.
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

// CheckKey tries the seal key, and makes none.
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
