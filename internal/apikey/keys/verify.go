package keys

import (
	"context"
	"errors"

	"github.com/fobcli/fob/internal/apikey"
)

// Verify looks up a key and verifies it. The record is zero unless the key's secret was
// right, even if the key is refused.
func (g *Registrar) Verify(ctx context.Context, text string, need apikey.Need) (apikey.Record, error) {
	return g.verify(ctx, text, need, g.RequirePepper)
}

// Prove is Verify for revoking or reporting a leaked key. It ignores RequirePepper, because
// other machines may accept the key.
func (g *Registrar) Prove(ctx context.Context, text string) (apikey.Record, error) {
	return g.verify(ctx, text, apikey.Need{}, false)
}

func (g *Registrar) verify(ctx context.Context, text string, need apikey.Need, pepperRequired bool) (apikey.Record, error) {
	p, err := apikey.Present(text, need)
	if err != nil {
		return apikey.Record{}, err
	}
	r, err := g.Registry.Key(ctx, p.ID)
	known := err == nil && (r.Pepper != "" || !pepperRequired)
	if err != nil && !errors.Is(err, apikey.ErrNotFound) {
		return apikey.Record{}, err
	}
	// Query for unknown ids too, so that their time does not differ.
	present, err := g.Registry.Pepper(ctx)
	if err != nil {
		return apikey.Record{}, err
	}
	if !known {
		r = apikey.Record{Pepper: present}
	}
	pepper, err := g.pepper(ctx, r.Pepper)
	if err != nil {
		return apikey.Record{}, err
	}
	err = p.Check(&r, pepper, need, g.now())
	if refused, ok := errors.AsType[*apikey.RefusedError](err); ok && refused.Reason == apikey.Unknown {
		return apikey.Record{}, err
	}
	return r, err
}

// Rehash replaces a verified key's digest by one with the current pepper. It never removes
// a pepper: a registry without a current pepper after it had one was modified by others. A
// digest without a pepper only gets one with AddPepper.
func (g *Registrar) Rehash(ctx context.Context, text string, r apikey.Record) error {
	if r.Pepper == "" && !g.AddPepper {
		return nil
	}
	present, err := g.Registry.Pepper(ctx)
	if err != nil || present == r.Pepper || present == "" {
		return err
	}
	pepper, err := g.pepper(ctx, present)
	if err != nil {
		return err
	}
	next := apikey.Hash(text, pepper)
	return g.change(ctx, func(tx apikey.Tx) error {
		today, err := tx.Key(r.ID)
		if err != nil || today.Digest != r.Digest {
			return err // another process was first
		}
		today.Digest, today.Pepper = next, present
		return tx.Put(g.event(apikey.ActionRehash, ""), today)
	})
}
