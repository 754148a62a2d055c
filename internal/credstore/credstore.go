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
	"path/filepath"

	"github.com/fobcli/fob/internal/seal"
)

// Why a record could not be read or written, beside the errors of package seal.
var (
	ErrNotFound   = errors.New("no such record")
	ErrAbsent     = errors.New("there is no OS keyring here")
	ErrLocked     = errors.New("the OS keyring is locked")
	ErrTimeout    = errors.New("the OS keyring did not answer")
	ErrRefused    = errors.New("the OS keyring refused")
	ErrCorrupt    = errors.New("the stored record is damaged")
	ErrNotWritten = errors.New("the record was not kept")
	ErrTooLarge   = errors.New("the record is too large for this storage")
	ErrUnusable   = errors.New("the storage cannot be used") // its files, that is
)

// Store seals records and keeps them in one backend.
type Store struct {
	items items
	key   KeySource
}

// items is a backend: it keeps sealed bytes under a kind and a name.
type items interface {
	get(ctx context.Context, kind, name string) ([]byte, error)
	set(ctx context.Context, kind, name string, sealed []byte) error
	delete(ctx context.Context, kind, name string) error
}

// KeySource gives the seal key. With create it makes one where there is none yet;
// without, a missing one is seal.ErrWrongKey, since nothing opens without it.
type KeySource func(ctx context.Context, create bool) (seal.Key, error)

// Get returns a record as it was set for the same context.
func (s *Store) Get(ctx context.Context, c seal.Context) ([]byte, error) {
	sealed, err := s.items.get(ctx, c.Kind, c.Profile)
	if err != nil {
		return nil, err
	}
	key, err := s.key(ctx, false)
	if err != nil {
		return nil, err
	}
	plain, err := key.Open(c, sealed)
	if errors.Is(err, seal.ErrFormat) {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return plain, err
}

// Set replaces a record and reads it back: a backend may say yes and keep
// nothing, which is ErrNotWritten.
func (s *Store) Set(ctx context.Context, c seal.Context, plaintext []byte) error {
	key, err := s.key(ctx, true)
	if err != nil {
		return err
	}
	sealed := key.Seal(c, plaintext)
	if err := s.items.set(ctx, c.Kind, c.Profile, sealed); err != nil {
		return err
	}
	kept, err := s.items.get(ctx, c.Kind, c.Profile)
	if err != nil && !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrCorrupt) {
		return fmt.Errorf("reading the record back: %w", err)
	}
	if !bytes.Equal(kept, sealed) {
		return ErrNotWritten
	}
	return nil
}

// Delete removes a record and looks whether it is gone. A missing one is
// ErrNotFound.
func (s *Store) Delete(ctx context.Context, c seal.Context) error {
	if err := s.items.delete(ctx, c.Kind, c.Profile); err != nil {
		return err
	}
	switch _, err := s.items.get(ctx, c.Kind, c.Profile); {
	case errors.Is(err, ErrNotFound):
		return nil
	case err == nil:
		return fmt.Errorf("%w: it is still there after it was deleted", ErrRefused)
	default:
		return fmt.Errorf("looking whether the record is gone: %w", err)
	}
}

// Probe tries the storage with a record of its own, and leaves nothing.
func (s *Store) Probe(ctx context.Context) error {
	name := make([]byte, 8)
	_, _ = rand.Read(name)
	c := seal.Context{Kind: "probe", Profile: hex.EncodeToString(name)}
	if err := s.Set(ctx, c, name); err != nil {
		_ = s.items.delete(ctx, c.Kind, c.Profile) // it may be there, unread; Set's error counts
		return err
	}
	return s.Delete(ctx, c)
}

// lockDir is the folder of the locks that guard the data folder's own files.
func lockDir(dataDir string) string { return filepath.Join(dataDir, "locks") }
