package keys

import (
	"context"
	"errors"
	"slices"

	"github.com/fobcli/fob/internal/apikey"
)

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
