package session

import (
	"context"
	"errors"
	"io/fs"

	"github.com/fobcli/fob/internal/credstore"
)

// ErrMoved means that the login was moved to another storage while this process waited for
// its lock: start again, with the profile as it is now.
var ErrMoved = errors.New("the login has moved to another storage")

// Entry returns the login's record for operations common to all records. Its lock is the
// login's.
func (s *Session) Entry() credstore.Entry {
	return credstore.Entry{Store: s.Store, Context: s.context(), Lock: s.lockPath(), Current: s.Current}
}

// Export is a login's record as stored, for a backup, after recovering an interrupted refresh.
func (s *Session) Export(ctx context.Context) (credstore.Record, error) {
	lock, r, err := s.lockRecord(ctx, s.loadAny)
	if err != nil {
		return credstore.Record{}, err
	}
	defer lock.Release()
	if _, err := s.recover(ctx, r); err != nil {
		return credstore.Record{}, err
	}
	return r.marshal()
}

// Import stores a login's record from Export, replacing any other.
func (s *Session) Import(ctx context.Context, stored credstore.Record) error {
	r, err := parseRecord(stored)
	if err != nil {
		return err
	}
	return s.Entry().Locked(ctx, func() error {
		if err := s.save(ctx, r); err != nil {
			return err
		}
		return s.dropFiles()
	})
}

// Repairs are what Check has repaired, or would repair, in a login's storage.
type Repairs struct {
	Recovered bool // a rotated token that was only in the journal
	Orphans   int  // unreferenced pieces
	Cache     bool // a cache that cannot be opened
}

// Check reads a login completely and the files next to it. With repair it recovers what a
// crash has left, without losing anything; the error is damage that remains.
func (s *Session) Check(ctx context.Context, repair bool) (found Repairs, err error) {
	lock, err := s.lock(ctx)
	if err != nil {
		return found, err
	}
	defer lock.Release()
	r, err := s.load(ctx)
	if errors.Is(err, ErrLoginRequired) {
		if !repair {
			return found, nil
		}
		found.Orphans, err = s.Store.Sweep(ctx, s.context())
		return found, err
	}
	if err != nil {
		return found, err
	}
	content, err := s.journal().read()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return found, err
	}
	found.Recovered = err == nil && string(content) != journalIntent
	cached, err := s.cache(Target{}).readToken(r.head)
	if err != nil {
		return found, err
	}
	_, cacheErr := s.cache(Target{}).read()
	found.Cache = cached == nil && cacheErr == nil
	if !repair {
		return found, nil
	}
	if _, err := s.recover(ctx, r); err != nil {
		return found, err
	}
	if found.Cache {
		if err := s.cache(Target{}).drop(); err != nil {
			return found, err
		}
	}
	found.Orphans, err = s.Store.Sweep(ctx, s.context())
	return found, err
}
