package serve

import (
	"context"
	"sync"

	"github.com/fobcli/fob/internal/apikey"
)

// RememberPeppers returns find with a memory: where peppers lie is slow to open, and they
// never change.
func RememberPeppers(find func(ctx context.Context, id string) (apikey.Pepper, error)) func(context.Context, string) (apikey.Pepper, error) {
	var mu sync.Mutex
	known := make(map[string]apikey.Pepper)
	return func(ctx context.Context, id string) (apikey.Pepper, error) {
		mu.Lock()
		defer mu.Unlock()
		if pepper, is := known[id]; is {
			return pepper, nil
		}
		pepper, err := find(ctx, id)
		if err == nil {
			known[id] = pepper
		}
		return pepper, err
	}
}
