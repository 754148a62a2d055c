package credstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/fobcli/fob/internal/seal"
)

// The seal key is replaced in four steps. A crash between any two of them loses nothing:
//
//  1. the old key, sealed with the new one, is written to DATA/previous/BACKEND;
//  2. the key's source is switched to the new key;
//  3. each record is sealed with the new key, under its own lock;
//  4. DATA/previous/BACKEND is deleted.
//
// After 1, the old key still opens everything. From 2 on, the new one does: records that
// are still sealed with the old key are opened through the file.

func (s *Store) previousContext() seal.Context {
	return seal.Context{Kind: "previous seal key", Profile: s.backend}
}

func (s *Store) previousPath() string {
	return filepath.Join(s.dataDir, "previous", s.backend)
}

// open opens sealed bytes with the key, or with the previous one during a rekey.
func (s *Store) open(ctx context.Context, c seal.Context, sealed []byte) ([]byte, error) {
	key, err := s.key(ctx, false)
	if err != nil {
		return nil, err
	}
	plain, err := s.openWith(key, c, sealed)
	if err == nil {
		s.proven.Store(true)
	}
	return plain, err
}

func (s *Store) openWith(key seal.Key, c seal.Context, sealed []byte) ([]byte, error) {
	open := seal.Key.Open
	if s.claims {
		open = seal.Key.Claim
	}
	plain, err := open(key, c, sealed)
	if errors.Is(err, seal.ErrWrongKey) {
		if previous, ok := s.previousKey(key); ok {
			plain, err = open(previous, c, sealed)
		}
	}
	if errors.Is(err, seal.ErrFormat) {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return plain, err
}

// previousKey returns the previous key while a rekey is unfinished.
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

// Rekeying reports whether a rekey is unfinished.
func (s *Store) Rekeying() (bool, error) {
	_, err := readFile(s.previousPath(), maxSmall)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// HasSwitched reports whether an unfinished rekey has switched to the present key.
func (s *Store) HasSwitched(ctx context.Context) bool {
	key, err := s.key(ctx, false)
	if err != nil {
		return false
	}
	_, switched := s.previousKey(key)
	return switched
}

// ErrSameKey reports a rekey to the current key.
var ErrSameKey = errors.New("nothing was changed: this is the key in use")

// BeginRekey seals the current key with the next one, so that the key source can then be
// switched. Call Reseal for all records and EndRekey afterwards.
func (s *Store) BeginRekey(ctx context.Context, next seal.Key) error {
	present, err := s.writingKey(ctx)
	if err != nil {
		return err
	}
	if present.ID() == next.ID() {
		return ErrSameKey
	}
	return writePrivate(s.previousPath(), next.Seal(s.previousContext(), present.Bytes()))
}

// EndRekey deletes the previous key, after all records were resealed.
func (s *Store) EndRekey() error { return remove(s.previousPath()) }

// Reseal seals a record with the current key.
func (s *Store) Reseal(ctx context.Context, c seal.Context) error {
	r, err := s.Get(ctx, c)
	if err != nil {
		return err
	}
	return s.Set(ctx, c, r)
}
