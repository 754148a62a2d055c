package credstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fobcli/fob/internal/seal"
)

// OtherKeyError means that a record would be sealed under a key that opens no record, while
// there are records under another one: the right key may still be found.
type OtherKeyError struct{ Name string } // a record under the other key, as in login/work

func (e *OtherKeyError) Error() string {
	return fmt.Sprintf("%s is %s: nothing was saved", e.Name, seal.ErrWrongKey)
}

func (*OtherKeyError) Unwrap() error { return seal.ErrWrongKey }

// writingKey returns the key to seal a record with. It creates a missing key only if no
// record needs it.
func (s *Store) writingKey(ctx context.Context) (seal.Key, error) {
	key, err := s.key(ctx, false)
	switch {
	case errors.Is(err, ErrKeyMissing), errors.Is(err, ErrNoKey):
		other := s.checkOthers(ctx, seal.NewKey())
		if other == nil {
			if err := s.items.set(ctx); err != nil { // a storage that is not there leaves no key behind
				return key, err
			}
			break
		}
		if _, againErr := s.key(ctx, false); againErr != nil { // unless another process has just created it
			return key, fmt.Errorf("%w; %w", err, other)
		}
	case err != nil:
		return key, err
	case !s.proven.Load():
		if err := s.checkOthers(ctx, key); err != nil {
			return key, err
		}
	}
	return s.key(ctx, true)
}

// MarkReplaced allows a key that does not open this record, because it is about to be replaced.
func (s *Store) MarkReplaced(c seal.Context) { s.replaced = append(s.replaced, itemName(c)) }

// checkOthers returns an error if there are records besides those that are being replaced, and
// the key opens none of them.
func (s *Store) checkOthers(ctx context.Context, key seal.Key) error {
	var other error
	names := s.items.names()
	if s.named != nil {
		names = append(names, s.named()...)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if slices.Contains(s.replaced, name) {
			continue
		}
		sealed, err := s.items.get(ctx, name)
		if err == nil {
			_, err = s.openWith(key, seal.Context{}, sealed[0])
		}
		switch {
		case errors.Is(err, seal.ErrWrongContext): // but the right key
			return nil
		case errors.Is(err, seal.ErrWrongKey):
			other = cmp.Or(other, error(&OtherKeyError{name}))
		case !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrCorrupt):
			other = cmp.Or(other, err)
		}
	}
	return other
}
