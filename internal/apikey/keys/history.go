package keys

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/fobcli/fob/internal/apikey"
)

// Matching returns the records that a filter matches, as the registry reads them. An id
// without a record is an error at the end.
func (g *Registrar) Matching(ctx context.Context, filter apikey.Filter) iter.Seq2[apikey.Record, error] {
	return func(yield func(apikey.Record, error) bool) {
		missing := slices.Clone(filter.IDs)
		for r, err := range g.Registry.Keys(ctx, filter) {
			missing = slices.DeleteFunc(missing, func(id string) bool { return id == r.ID })
			if (err != nil || filter.Match(&r, g.Now())) && !yield(r, err) {
				return
			}
		}
		if len(missing) > 0 {
			yield(apikey.Record{}, notFound(missing[0], apikey.ErrNotFound))
		}
	}
}

// Select returns Matching as a list.
func (g *Registrar) Select(ctx context.Context, filter apikey.Filter) ([]apikey.Record, error) {
	return Collect(g.Matching(ctx, filter))
}

// Collect returns the records of a sequence, or its first error.
func Collect(sequence iter.Seq2[apikey.Record, error]) (records []apikey.Record, err error) {
	for r, err := range sequence {
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

// Find returns the record of one key, with its uses.
func (g *Registrar) Find(ctx context.Context, id string) (apikey.Record, error) {
	records, err := g.Select(ctx, apikey.Filter{IDs: []string{id}})
	if err != nil {
		return apikey.Record{}, err
	}
	return records[0], nil
}

// Unfinished is a rotation in progress, or an interrupted one.
type Unfinished struct {
	Old, New apikey.Record // the same for a new key that was not delivered yet
	Rotation apikey.Rotation
	earlier  []string // replacements of the same key, which may still be at a destination
}

// Is reports whether a key is the old one of the rotation, or one of its replacements.
func (u *Unfinished) Is(id string) bool {
	return u.Old.ID == id || u.New.ID == id || slices.Contains(u.earlier, id)
}

// UnfinishedOf returns the unfinished rotation of a key, or nil.
func UnfinishedOf(id string, open []Unfinished) *Unfinished {
	for i := range open {
		if open[i].Is(id) {
			return &open[i]
		}
	}
	return nil
}

// Destinations returns where a key is delivered: during a rotation, the destinations of its
// replacement.
func Destinations(r apikey.Record, open []Unfinished) []string {
	if u := UnfinishedOf(r.ID, open); u != nil {
		return u.New.Destinations
	}
	return r.Destinations
}

// Unfinished returns the unfinished rotations, all or those of the ids.
func (g *Registrar) Unfinished(ctx context.Context, ids ...string) ([]Unfinished, error) {
	open, err := g.Registry.OpenRotations(ctx)
	if err != nil {
		return nil, err
	}
	var all []Unfinished
	for _, rotation := range open {
		isNested := func(r apikey.Rotation) bool { return r.New == rotation.Old && r.Old != rotation.Old }
		if slices.ContainsFunc(open, isNested) {
			continue // a later rotation replaces these keys too
		}
		u := Unfinished{Rotation: rotation}
		u.Old, err = g.Find(ctx, rotation.Old)
		if err == nil {
			u.New, err = g.Find(ctx, rotation.New)
		}
		if err != nil {
			return nil, err
		}
		rotations, err := g.Registry.Rotations(ctx, rotation.Old)
		if err != nil {
			return nil, err
		}
		for _, r := range rotations {
			u.earlier = append(u.earlier, r.New)
		}
		isGenuine := u.New.Predecessor == u.Old.ID || u.New.ID == u.Old.ID
		if isGenuine && (len(ids) == 0 || slices.ContainsFunc(ids, u.Is)) {
			all = append(all, u)
		}
	}
	return all, nil
}

// History returns the ids of the keys before and after one, the oldest first, and that
// key's rotations.
func (g *Registrar) History(ctx context.Context, r apikey.Record) (chain []string, rotations []apikey.Rotation, err error) {
	chain = []string{r.ID}
	for id := r.Predecessor; id != "" && !slices.Contains(chain, id); {
		before, err := g.Registry.Key(ctx, id)
		if errors.Is(err, apikey.ErrNotFound) {
			break // its replacement was not imported
		}
		if err != nil {
			return nil, nil, err
		}
		chain = append([]string{id}, chain...)
		id = before.Predecessor
	}
	if rotations, err = g.rotationsOf(ctx, r.ID); err != nil {
		return nil, nil, err
	}
	for next := rotations; len(next) > 0; {
		last := next[len(next)-1]
		if last.Phase == apikey.PhaseAbandoned || slices.Contains(chain, last.New) {
			break
		}
		chain = append(chain, last.New)
		if next, err = g.rotationsOf(ctx, last.New); err != nil {
			return nil, nil, err
		}
	}
	return chain, rotations, nil
}

// rotationsOf returns the rotations of a key, without a finished first delivery.
func (g *Registrar) rotationsOf(ctx context.Context, id string) ([]apikey.Rotation, error) {
	rotations, err := g.Registry.Rotations(ctx, id)
	return slices.DeleteFunc(rotations, func(r apikey.Rotation) bool { return r.New == r.Old && !r.Open() }), err
}
