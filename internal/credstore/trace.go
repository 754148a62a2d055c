package credstore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/trace"
)

// tracedItems shows each call of a backend in the context's trace.
type tracedItems struct {
	items
	backend string
}

func (t tracedItems) get(ctx context.Context, names ...string) ([][]byte, error) {
	start := time.Now()
	all, err := t.items.get(ctx, names...)
	t.show(ctx, "get", names, err, start)
	return all, err
}

func (t tracedItems) set(ctx context.Context, items ...item) error {
	start := time.Now()
	err := t.items.set(ctx, items...)
	t.show(ctx, "set", itemNames(items), err, start)
	return err
}

func (t tracedItems) delete(ctx context.Context, names ...string) (int, error) {
	start := time.Now()
	deleted, err := t.items.delete(ctx, names...)
	t.show(ctx, fmt.Sprintf("delete (%d)", deleted), names, err, start)
	return deleted, err
}

func (t tracedItems) show(ctx context.Context, call string, names []string, err error, start time.Time) {
	if trace.On(ctx) {
		trace.Printf(ctx, "storage %s: %s %s: %s", t.backend, call, strings.Join(names, " "), trace.Outcome(err, start))
	}
}
