package credstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/fobcli/fob/internal/seal"
)

// A new seal key comes into use in four steps, and a crash between any two of them
// locks nobody out:
//
//  1. the old key, sealed under the new one, is written to DATA/previous/BACKEND;
//  2. the key's source is switched to the new key;
//  3. each record is sealed again under the new key, under its own lock;
//  4. DATA/previous/BACKEND goes.
//
// After 1 the old key still opens all. From 2 on the new one does, through the
// file where a record is not sealed again yet.

func (s *Store) previousContext() seal.Context {
	return seal.Context{Kind: "previous seal key", Profile: s.backend}
}

func (s *Store) previousPath() string {
	return filepath.Join(s.dataDir, "previous", s.backend)
}

// open opens sealed bytes under the key, or under the one before it while records
// are being sealed again.
func (s *Store) open(ctx context.Context, c seal.Context, sealed []byte) ([]byte, error) {
	key, err := s.key(ctx, false)
	if err != nil {
		return nil, err
	}
	plain, err := key.Open(c, sealed)
	if errors.Is(err, seal.ErrWrongKey) {
		if previous, ok := s.previousKey(key); ok {
			plain, err = previous.Open(c, sealed)
		}
	}
	if errors.Is(err, seal.ErrFormat) {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return plain, err
}

// previousKey is the key that was in use before this one, where not all records
// are sealed again yet.
func (s *Store) previousKey(key seal.Key) (seal.Key, bool) {
	sealed, err := readFile(s.previousPath(), maxSmall)
	if err != nil {
		return seal.Key{}, false
	}
	raw, err := key.Open(s.previousContext(), sealed)
	if err != nil {
		return seal.Key{}, false
	}
	previous, err := seal.KeyFromBytes(raw)
	return previous, err == nil
}

// Rekeying reports whether a change of the seal key was begun and not ended.
func (s *Store) Rekeying() (bool, error) {
	_, err := readFile(s.previousPath(), maxSmall)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// BeginRekey makes the present key readable under the next one, so that from now
// on the source may be switched. Seal all records again, then call EndRekey.
func (s *Store) BeginRekey(ctx context.Context, next seal.Key) error {
	present, err := s.key(ctx, true)
	if err != nil {
		return err
	}
	return writePrivate(s.previousPath(), next.Seal(s.previousContext(), present.Bytes()))
}

// EndRekey forgets the previous key, once nothing is sealed under it.
func (s *Store) EndRekey() error { return remove(s.previousPath()) }

// Reseal seals a record again under the present key.
func (s *Store) Reseal(ctx context.Context, c seal.Context) error {
	r, err := s.Get(ctx, c)
	if err != nil {
		return err
	}
	return s.Set(ctx, c, r)
}
