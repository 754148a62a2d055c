package keys

import (
	"context"
	"errors"
	"slices"

	"github.com/fobcli/fob/internal/apikey"
)

// Select returns the records that a filter matches. An id without a record is an error.
func (g *Registrar) Select(ctx context.Context, filter apikey.Filter) ([]apikey.Record, error) {
	var records []apikey.Record
	for r, err := range g.Registry.Keys(ctx, filter) {
		if err != nil {
			return nil, err
		}
		if filter.Match(&r, g.Now()) {
			records = append(records, r)
		}
	}
	for _, id := range filter.IDs {
		if !slices.ContainsFunc(records, func(r apikey.Record) bool { return r.ID == id }) {
			return nil, notFound(id, apikey.ErrNotFound)
		}
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

// Unfinished returns the keys whose rotation is open, all or those of the ids, and how far
// each has come.
func (g *Registrar) Unfinished(ctx context.Context, ids []string) ([]apikey.Record, map[string]apikey.Phase, error) {
	open, err := g.Registry.OpenRotations(ctx)
	if err != nil {
		return nil, nil, err
	}
	var records []apikey.Record
	phases := make(map[string]apikey.Phase)
	for _, rotation := range open {
		if len(ids) > 0 && !slices.Contains(ids, rotation.Old) {
			continue
		}
		r, err := g.Find(ctx, rotation.Old)
		if err != nil {
			return nil, nil, err
		}
		records = append(records, r)
		phases[r.ID] = rotation.Phase
	}
	return records, phases, nil
}

// History returns the ids of the keys before and after one, the oldest first, and
// the rotations of that one.
func (g *Registrar) History(ctx context.Context, r apikey.Record) (chain []string, rotations []apikey.Rotation, err error) {
	chain = []string{r.ID}
	for id := r.Predecessor; id != "" && !slices.Contains(chain, id); {
		before, err := g.Registry.Key(ctx, id)
		if errors.Is(err, apikey.ErrNotFound) {
			break // it was not imported with its successor
		}
		if err != nil {
			return nil, nil, err
		}
		chain = append([]string{id}, chain...)
		id = before.Predecessor
	}
	if rotations, err = g.Registry.Rotations(ctx, r.ID); err != nil {
		return nil, nil, err
	}
	for next := rotations; len(next) > 0; {
		last := next[len(next)-1]
		if last.Phase == apikey.PhaseAbandoned || slices.Contains(chain, last.New) {
			break
		}
		chain = append(chain, last.New)
		if next, err = g.Registry.Rotations(ctx, last.New); err != nil {
			return nil, nil, err
		}
	}
	return chain, rotations, nil
}
