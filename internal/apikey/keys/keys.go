// Package keys applies the rules of API keys to a registry: it creates, changes, verifies,
// replaces and revokes keys, and records who made each change.
package keys

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/apikey"
)

// Registrar applies the rules to a registry. All changes of keys use it.
type Registrar struct {
	Registry apikey.Registry
	Format   apikey.Format
	Actor    string // for the audit log: user@host
	Now      func() time.Time
	// Peppers finds a pepper by its id, for digests with a pepper.
	Peppers func(ctx context.Context, id string) (apikey.Pepper, error)
	// RequirePepper rejects records without a pepper. It comes from this machine's
	// configuration, because others with write access to the registry must not be able to
	// turn it off.
	RequirePepper bool
	// AddPepper allows Rehash to add a pepper to a hash without one, for machines that
	// require a pepper. It thereby accepts hashes that anyone with write access to the
	// registry may have added.
	AddPepper bool
	// LockDir is a folder for locks, by which processes on this machine see that this one
	// is still rotating; may be "".
	LockDir string
	// Wait waits for another process; nil is a short time.
	Wait func(context.Context) error
}

// ErrNoPepper means that a hash would have no pepper where one is required.
var ErrNoPepper = errors.New("the hash has no pepper, which require_pepper in config.toml requires")

// Close closes the registry.
func (g *Registrar) Close() { _ = g.Registry.Close() }

// now returns the time as stored in registries.
func (g *Registrar) now() time.Time { return g.Now().UTC().Truncate(time.Millisecond) }

func (g *Registrar) event(action, detail string) apikey.Event {
	return apikey.Event{At: g.now(), Actor: g.Actor, Action: action, Detail: detail}
}

// pepper finds a pepper; without an id it returns nil.
func (g *Registrar) pepper(ctx context.Context, id string) (*apikey.Pepper, error) {
	if id == "" {
		return nil, nil
	}
	p, err := g.Peppers(ctx, id)
	return &p, err
}

// presentPepper finds the current pepper, which is used for new digests.
func (g *Registrar) presentPepper(ctx context.Context) (*apikey.Pepper, error) {
	id, err := g.Registry.Pepper(ctx)
	if err == nil && id == "" && g.RequirePepper {
		err = ErrNoPepper
	}
	if err != nil {
		return nil, err
	}
	return g.pepper(ctx, id)
}

// change is Registry.Change, but first records which overlaps have ended: after that,
// setting back a clock cannot make those keys valid again.
func (g *Registrar) change(ctx context.Context, do func(apikey.Tx) error) error {
	return g.Registry.Change(ctx, func(tx apikey.Tx) error {
		due, err := tx.Due(g.now())
		if err != nil {
			return err
		}
		for _, rotation := range due {
			if err := g.retire(tx, rotation); err != nil {
				return err
			}
		}
		return do(tx)
	})
}

// BatchSize is the number of keys per transaction of a bulk operation.
const BatchSize = 500

// Create creates up to BatchSize keys like the draft, all or none.
func (g *Registrar) Create(ctx context.Context, draft apikey.Record, count int) ([]apikey.Minted, []apikey.Record, error) {
	pepper, err := g.presentPepper(ctx)
	if err != nil {
		return nil, nil, err
	}
	minted := make([]apikey.Minted, count)
	records := make([]apikey.Record, count)
	for i := range minted {
		if minted[i], records[i], err = g.mint(draft, pepper); err != nil {
			return nil, nil, err
		}
	}
	err = g.change(ctx, func(tx apikey.Tx) error { return insertNew(tx, g.event(apikey.ActionCreate, ""), records) })
	return minted, records, err
}

func (g *Registrar) mint(draft apikey.Record, pepper *apikey.Pepper) (apikey.Minted, apikey.Record, error) {
	m, err := apikey.Mint(g.Format.Brand, draft.Environment)
	if err != nil {
		return m, draft, err
	}
	r := draft
	r.ID, r.Digest, r.CreatedAt = m.ID, m.Digest, g.now()
	if pepper != nil {
		r.Digest, r.Pepper = apikey.Hash(m.Key.Reveal(), pepper), pepper.ID
	}
	return m, r, r.Check()
}

func insertNew(tx apikey.Tx, e apikey.Event, records []apikey.Record) error {
	there, err := tx.Insert(e, records)
	if err == nil && len(there) > 0 {
		return fmt.Errorf("the id %s is taken", there[0]) // 2^65 ids: not by chance
	}
	return err
}

// Import adds up to BatchSize keys that were issued before, and returns the number of new
// ones. Existing ones with the same digest are unchanged.
func (g *Registrar) Import(ctx context.Context, records []apikey.Record) (added int, err error) {
	err = g.change(ctx, func(tx apikey.Tx) error {
		there, err := tx.Insert(g.event(apikey.ActionImport, ""), records)
		added = len(records) - len(there)
		return err
	})
	return added, err
}

// Importer completes the records of keys that were issued before. It finds the pepper once,
// when it is first needed, instead of for each of a million keys.
type Importer struct {
	g      *Registrar
	pepper *apikey.Pepper
	asked  bool
}

// Importer returns an Importer for the registry.
func (g *Registrar) Importer() *Importer { return &Importer{g: g} }

// Complete completes a key's record by its text, or by its digest and, for fob's own keys,
// its id.
func (i *Importer) Complete(ctx context.Context, text string, r apikey.Record) (apikey.Record, error) {
	if text != "" {
		if err := apikey.CheckImported(text); err != nil {
			return r, err
		}
		if !i.asked {
			var err error
			if i.pepper, err = i.g.presentPepper(ctx); err != nil {
				return r, err
			}
			i.asked = true
		}
		parts, err := apikey.Parse(text)
		switch {
		case errors.Is(err, apikey.ErrChecksum):
			return r, err
		case err != nil:
			r.ID = apikey.ImportedID(apikey.DigestOf(text))
		case r.Environment != "" && r.Environment != parts.Environment:
			return r, fmt.Errorf("the key is of environment %s, not %.80q", parts.Environment, r.Environment)
		default:
			r.ID, r.Environment = parts.ID, parts.Environment
		}
		r.Digest = apikey.Hash(text, i.pepper)
		if i.pepper != nil {
			r.Pepper = i.pepper.ID
		}
	}
	if r.ID == "" {
		if r.Pepper != "" {
			return r, errors.New("a hash with a pepper needs its key's id")
		}
		r.ID = apikey.ImportedID(r.Digest)
	}
	if r.Pepper == "" && i.g.RequirePepper {
		return r, ErrNoPepper
	}
	if r.Pepper == "" && !apikey.MayHaveID(r.ID, r.Digest) {
		return r, errors.New("the id is not that of a key with this hash")
	}
	if r.CreatedAt.IsZero() {
		r.CreatedAt = i.g.now()
	}
	return r, r.Check()
}

// ErrRevoked means that a revoked key was to be changed.
var ErrRevoked = errors.New("the key is revoked for good")

// Update changes a key's record, and that of its replacement during a rotation. change must
// not modify id, digest, environment and RevokedAt.
func (g *Registrar) Update(ctx context.Context, id string, change func(*apikey.Record)) (apikey.Record, error) {
	var r apikey.Record
	err := g.change(ctx, func(tx apikey.Tx) (err error) {
		if r, err = tx.Key(id); err != nil {
			return notFound(id, err)
		}
		ids := []string{id}
		old, open, err := g.unfinishedAt(tx, r)
		switch {
		case err == nil && open.New != "":
			ids = append(ids, old.ID, open.New)
		case r.State(g.now()) == apikey.Revoked:
			return &KeyError{id, ErrRevoked}
		}
		slices.Sort(ids)
		for _, id := range slices.Compact(ids) {
			if err := g.updateOne(tx, id, change); err != nil {
				return err
			}
		}
		r, err = tx.Key(id)
		return err
	})
	return r, err
}

func (g *Registrar) updateOne(tx apikey.Tx, id string, change func(*apikey.Record)) error {
	before, err := tx.Key(id)
	if err != nil {
		return err
	}
	after := before
	change(&after)
	if err := after.Check(); err != nil {
		return err
	}
	detail := changedFields(&before, &after)
	if detail == "" {
		return nil
	}
	return tx.Put(g.event(apikey.ActionUpdate, detail), after)
}

func changedFields(before, after *apikey.Record) string {
	var names []string
	note := func(name string, isSame bool) {
		if !isSame {
			names = append(names, name)
		}
	}
	note("owner", before.Owner == after.Owner)
	note("scopes", slices.Equal(before.Scopes, after.Scopes))
	note("rate", before.Rate == after.Rate)
	note("note", before.Note == after.Note)
	note("destinations", slices.Equal(before.Destinations, after.Destinations))
	note("metadata", maps.Equal(before.Metadata, after.Metadata))
	note("expiry", before.ExpiresAt.Equal(after.ExpiresAt))
	note("disabled", before.Disabled || !after.Disabled)
	note("enabled", !before.Disabled || after.Disabled)
	return strings.Join(names, ", ")
}

// Revoke revokes any number of keys in one change, all or none, and returns how many were
// not revoked before. More than BatchSize are all refused at once, and Settle completes
// their records.
func (g *Registrar) Revoke(ctx context.Context, ids []string, why string) (count int, err error) {
	if err := apikey.CheckReason(why); err != nil {
		return 0, err
	}
	err = g.change(ctx, func(tx apikey.Tx) (err error) {
		if len(ids) > BatchSize {
			count, err = tx.RevokeAll(g.event(apikey.ActionRevokeAll, why), ids)
			return err
		}
		count = 0
		for _, id := range ids {
			r, err := tx.Key(id)
			if err != nil {
				return notFound(id, err)
			}
			if !r.RevokedAt.IsZero() {
				continue
			}
			if err := revoke(tx, &r, g.event(apikey.ActionRevoke, why)); err != nil {
				return err
			}
			count++
		}
		return nil
	})
	return count, err
}

// Settle completes up to BatchSize records of keys that Revoke has revoked, including those
// that an interrupted process left, and returns their number.
func (g *Registrar) Settle(ctx context.Context) (count int, err error) {
	err = g.change(ctx, func(tx apikey.Tx) (err error) {
		count, err = tx.Settle(g.event(apikey.ActionRevoked, ""), BatchSize)
		return err
	})
	return count, err
}

// SetPepper sets the pepper of new digests. Existing keys get it when they are next
// verified.
func (g *Registrar) SetPepper(ctx context.Context, id string) error {
	return g.change(ctx, func(tx apikey.Tx) error { return tx.SetPepper(g.event(apikey.ActionPepper, id), id) })
}

// WithoutPepper returns the ids of keys that RequirePepper would refuse. A revoked key is
// refused anyway; an expired one could be extended.
func (g *Registrar) WithoutPepper(ctx context.Context) (ids []string, err error) {
	for r, err := range g.Registry.Keys(ctx, apikey.Filter{}) {
		if err != nil {
			return nil, err
		}
		if r.Pepper == "" && r.State(g.now()) != apikey.Revoked {
			ids = append(ids, r.ID)
		}
	}
	return ids, nil
}

// NeedsPepper counts the keys that cannot be verified without a pepper, and reports whether
// it is the current one.
func (g *Registrar) NeedsPepper(ctx context.Context, id string) (count int, inUse bool, err error) {
	present, err := g.Registry.Pepper(ctx)
	if err != nil {
		return 0, false, err
	}
	for r, err := range g.Registry.Keys(ctx, apikey.Filter{}) {
		if err != nil {
			return 0, false, err
		}
		if state := r.State(g.Now()); r.Pepper == id && state != apikey.Revoked && state != apikey.Expired {
			count++
		}
	}
	return count, present == id, nil
}

// KeyError is a failure with a key, whose id hints need.
type KeyError struct {
	ID  string
	Err error
}

func (e *KeyError) Error() string { return "key " + e.ID + ": " + e.Err.Error() }

func (e *KeyError) Unwrap() error { return e.Err }

// ForKey adds a key's id to an error, unless it has one.
func ForKey(err error, id string) error {
	if known, ok := errors.AsType[*KeyError](err); ok && known.ID == id {
		return err
	}
	return &KeyError{id, err}
}

func notFound(id string, err error) error {
	if errors.Is(err, apikey.ErrNotFound) {
		return &KeyError{id, err}
	}
	return err
}
