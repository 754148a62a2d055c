package apikey

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"
)

// Why a registry did not do what was asked.
var (
	ErrNotFound = errors.New("there is no such key in the registry")

	ErrNoRegistry  = errors.New("there is no registry of keys yet")
	ErrNewerSchema = errors.New("a newer fob has written the registry")
	ErrUnavailable = errors.New("the registry's database cannot be reached")
	ErrBusy        = errors.New("the registry was busy for too long")
	ErrFull        = errors.New("there is no space left for the registry")
	ErrDamaged     = errors.New("the registry is damaged")
	ErrUnusable    = errors.New("the registry cannot be used")

	// ErrUnknownPepper means that a record names a pepper that the verifier does not have.
	ErrUnknownPepper = errors.New("pepper not found on this machine")
)

// Registry keeps the records of keys, and with each change an entry of the audit
// log. All methods may be called by many goroutines and many processes at once.
type Registry interface {
	// Key returns a key's record, or ErrNotFound.
	Key(ctx context.Context, id string) (Record, error)
	// Keys returns records in the order of their ids. It narrows them by the filter
	// as far as it can; Filter.Match decides.
	Keys(ctx context.Context, f Filter) iter.Seq2[Record, error]
	// Rotations returns all rotations of a key, the first first.
	Rotations(ctx context.Context, old string) ([]Rotation, error)
	// OpenRotations returns all rotations that are neither retired nor abandoned, and
	// have not come to their overlap: one that is under way, or that stopped.
	OpenRotations(ctx context.Context) ([]Rotation, error)
	// Pepper returns the id of the pepper that digests are to be made with, or "".
	Pepper(ctx context.Context) (string, error)
	// Change runs do in one transaction that no other change runs beside. It may run
	// do again. When do fails nothing was changed.
	Change(ctx context.Context, do func(Tx) error) error
	// Use adds to what is known of keys' use. Unknown keys are left out.
	Use(ctx context.Context, uses []Use) error
	// Changed returns the ids of keys that were changed behind a sequence number, at most
	// so many, and the number of the last one that it tells of. It is cheap to ask
	// often; whoever asks again gives that number.
	Changed(ctx context.Context, after int64, most int) (ids []string, last int64, err error)
	// Log hands over the entries behind a sequence number, all of one moment, each
	// with what the key's row says at that moment.
	Log(ctx context.Context, after int64, each func(Logged) error) (LogEnd, error)
	Close() error
}

// Tx is a change of a registry.
type Tx interface {
	Key(id string) (Record, error)
	// Insert adds new keys, with an entry each, and returns the ids that were there
	// before; those it leaves alone.
	Insert(e Event, records []Record) (there []string, err error)
	// Put replaces a key's record, with its entry.
	Put(e Event, r Record) error
	// Rotations returns all rotations of a key, the first first.
	Rotations(old string) ([]Rotation, error)
	PutRotation(r Rotation) error
	// Due returns rotations whose overlap is over.
	Due(now time.Time) ([]Rotation, error)
	SetPepper(e Event, id string) error
}

// Filter says which keys are meant. The zero Filter means all.
type Filter struct {
	IDs         []string
	Owner       string
	Environment string
	Scope       string // granted, as it is written
	States      []State
	EndsBefore  time.Time // and is not over yet
	UnusedSince time.Time
}

// IsZero reports whether the filter means all keys.
func (f *Filter) IsZero() bool {
	return len(f.IDs) == 0 && f.Owner == "" && f.Environment == "" && f.Scope == "" && len(f.States) == 0 &&
		f.EndsBefore.IsZero() && f.UnusedSince.IsZero()
}

// Match reports whether the filter means a key.
func (f *Filter) Match(r *Record, now time.Time) bool {
	state := r.State(now)
	ends := r.Ends()
	switch {
	case len(f.IDs) > 0 && !slices.Contains(f.IDs, r.ID),
		f.Owner != "" && f.Owner != r.Owner,
		f.Environment != "" && f.Environment != r.Environment,
		f.Scope != "" && !slices.Contains(r.Scopes, f.Scope),
		len(f.States) > 0 && !slices.Contains(f.States, state),
		!f.EndsBefore.IsZero() && (state == Revoked || state == Expired || ends.IsZero() || !ends.Before(f.EndsBefore)),
		!f.UnusedSince.IsZero() && !laterOf(r.CreatedAt, r.LastUsedAt).Before(f.UnusedSince):
		return false
	}
	return true
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Use is how often a key was used, and when last.
type Use struct {
	ID    string
	Count int64
	Last  time.Time
}
