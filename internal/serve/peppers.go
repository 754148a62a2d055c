package serve

import (
	"context"
	"sync"

	"github.com/fobcli/fob/internal/apikey"
)

// Peppers remembers peppers: where they lie is slow to open, and they never change.
type Peppers struct {
	find func(ctx context.Context, id string) (apikey.Pepper, error)

	mu    sync.Mutex
	known map[string]apikey.Pepper
}

// NewPeppers remembers what find has found.
func NewPeppers(find func(ctx context.Context, id string) (apikey.Pepper, error)) *Peppers {
	return &Peppers{find: find, known: make(map[string]apikey.Pepper)}
}

// Get finds a pepper by its id.
func (p *Peppers) Get(ctx context.Context, id string) (apikey.Pepper, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pepper, known := p.known[id]; known {
		return pepper, nil
	}
	pepper, err := p.find(ctx, id)
	if err == nil {
		p.known[id] = pepper
	}
	return pepper, err
}
