package apikey

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"
)

// Errors of a registry.
var (
	ErrNotFound = errors.New("there is no such key in the registry")

	ErrNoRegistry  = errors.New("there is no registry of keys yet")
	ErrNewerSchema = errors.New("a newer fob has written the registry")
	ErrOlderSchema = errors.New("an older fob has written the registry")
	ErrUnavailable = errors.New("the registry's database cannot be reached")
	ErrBusy        = errors.New("the registry was busy for too long")
	ErrFull        = errors.New("there is no space left for the registry")
	ErrDamaged     = errors.New("the registry is damaged")
	ErrUnusable    = errors.New("the registry cannot be used")
	ErrInsecure    = errors.New("the connection to the registry would not be private")

	// ErrUnknownPepper means that a record's pepper is not available to the verifier.
	ErrUnknownPepper = errors.New("pepper not found on this machine")
)

// Mode is what opening a registry may change.
type Mode int

// Modes of opening.
const (
	ModeInspect Mode = iota // nothing; one of an older fob is ErrOlderSchema
	ModeUse                 // updates one of an older fob
	ModeCreate              // also creates a missing one, otherwise ErrNoRegistry
)

// Registry stores the records of keys, and an entry in the audit log for each change. All
// methods may be called concurrently, by any number of processes.
type Registry interface {
	// Key returns a key's record, or ErrNotFound.
	Key(ctx context.Context, id string) (Record, error)
	// Keys returns records in the order of their ids, or as the filter sorts them. It applies
	// the filter only as far as it can: check results with Filter.Match. A list of any length
	// needs little memory.
	Keys(ctx context.Context, f Filter) iter.Seq2[Record, error]
	// Rotations returns all rotations of a key, the oldest first.
	Rotations(ctx context.Context, old string) ([]Rotation, error)
	// OpenRotations returns all rotations that have not reached their overlap: in progress
	// or interrupted.
	OpenRotations(ctx context.Context) ([]Rotation, error)
	// ID returns the registry's own id, which is the same at every address.
	ID(ctx context.Context) (string, error)
	// Pepper returns the id of the current pepper, or "".
	Pepper(ctx context.Context) (string, error)
	// Change runs do in a transaction, exclusively. It may run do again. If do fails,
	// nothing was changed.
	Change(ctx context.Context, do func(Tx) error) error
	// Use adds to the recorded uses of keys, ignoring unknown keys.
	Use(ctx context.Context, uses []Use) error
	// Changed returns the ids of keys changed after a sequence number, at most that many, and
	// the sequence number to continue from. A bulk revocation counts as one change, with the
	// id AllKeys. It is cheap enough for polling.
	Changed(ctx context.Context, after int64, most int) (ids []string, last int64, err error)
	// Check reads everything, and returns ErrDamaged if something cannot be read.
	Check(ctx context.Context) error
	// Log returns the entries after a sequence number with the key's current row, in one
	// consistent snapshot: all, or those of ids. The pending keys, in the order of Settle, follow
	// the whole log.
	Log(ctx context.Context, after int64, each func(Logged) error, ids ...string) (LogEnd, error)
	Close() error
}

// AllKeys stands for any number of keys in what Changed returns. No key has this id.
const AllKeys = "*"

// Tx is a transaction that changes a registry.
type Tx interface {
	Key(id string) (Record, error)
	// Insert adds new keys, with an entry each. It skips ids that already exist and returns
	// them.
	Insert(e Event, records []Record) (there []string, err error)
	// Put replaces records that were read in this transaction, with an entry each.
	Put(e Event, records ...Record) error
	// RevokeAll revokes any number of keys in one transaction with one entry, and returns
	// how many were not revoked before. Settle then completes their records.
	RevokeAll(e Event, ids []string) (count int, err error)
	// Settle completes the records of keys that RevokeAll revoked, with an entry each.
	Settle(e Event, most int) (count int, err error)
	// Rotations returns all rotations of a key, the oldest first.
	Rotations(old string) ([]Rotation, error)
	PutRotation(r Rotation) error
	// Due returns rotations whose overlap has ended.
	Due(now time.Time) ([]Rotation, error)
	SetPepper(e Event, id string) error
}

// Filter selects keys. The zero Filter selects all.
type Filter struct {
	IDs         []string
	Owner       string
	Environment string
	Scope       string // a granted scope, exactly as written
	States      []State
	EndsAfter   time.Time // with EndsBefore: the present, so that a registry can skip keys that have ended
	EndsBefore  time.Time // excludes keys that have already ended
	UnusedSince time.Time

	Sort string // expires, used or owner, then by id; "" is by id
}

// IsZero reports whether the filter selects all keys.
func (f *Filter) IsZero() bool {
	return len(f.IDs) == 0 && f.Owner == "" && f.Environment == "" && f.Scope == "" && len(f.States) == 0 &&
		f.EndsBefore.IsZero() && f.UnusedSince.IsZero()
}

// Match reports whether the filter selects a key.
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
