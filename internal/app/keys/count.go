package keys

import (
	"context"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/registry"
)

// MaxCounted is where Count stops, because counting takes time.
const MaxCounted = 10_000

// Counts are the numbers of keys in a registry, up to MaxCounted.
type Counts struct{ All, Active, Unfinished int }

// Count counts the keys of a registry.
func Count(ctx context.Context, dsn string, now time.Time) (c Counts, err error) {
	r, err := registry.Open(ctx, dsn, false)
	if err != nil {
		return c, err
	}
	defer func() { _ = r.Close() }()
	open, err := r.OpenRotations(ctx)
	if err != nil {
		return c, err
	}
	c.Unfinished = len(open)
	for record, err := range r.Keys(ctx, apikey.Filter{}) {
		if err != nil {
			return c, err
		}
		if c.All++; c.All > MaxCounted {
			break
		}
		if record.State(now) == apikey.Active {
			c.Active++
		}
	}
	return c, nil
}
