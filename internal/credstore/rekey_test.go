package credstore

import (
	"context"
	"errors"
	"testing"

	"github.com/fobcli/fob/internal/seal"
)

// A change of the key that is cut short after any of its steps locks nobody out.
func TestRekeyCutShort(t *testing.T) {
	ctx := t.Context()
	play := work
	play.Profile = "play"
	for stopped, want := range map[string]struct{ old, next error }{
		"before it began":     {nil, seal.ErrWrongKey},
		"once begun":          {nil, nil},
		"half way":            {seal.ErrWrongKey, nil},
		"before its end":      {seal.ErrWrongKey, nil},
		"never":               {seal.ErrWrongKey, nil},
		"and begun once more": {seal.ErrWrongKey, nil},
	} {
		t.Run(stopped, func(t *testing.T) {
			dir := t.TempDir()
			present := seal.NewKey()
			next := seal.NewKey()
			source := func(context.Context, bool) (seal.Key, error) { return present, nil }
			s := inFiles(dir, source)
			for _, c := range []seal.Context{work, play} {
				if err := s.Set(ctx, c, Record{Body: []byte(c.Profile)}); err != nil {
					t.Fatal(err)
				}
			}
			oldKey := present
			for _, step := range []struct {
				name string
				do   func() error
			}{
				{"before it began", func() error { return s.BeginRekey(ctx, next) }},
				{"once begun", func() error { present = next; return s.Reseal(ctx, work) }},
				{"half way", func() error { return s.Reseal(ctx, play) }},
				{"before its end", s.EndRekey},
				{"never", func() error { return s.BeginRekey(ctx, seal.NewKey()) }},
			} {
				if step.name == stopped {
					break
				}
				if err := step.do(); err != nil {
					t.Fatalf("%s: %v", step.name, err)
				}
			}
			if _, err := inFiles(dir, fixedKey(oldKey)).Get(ctx, work); !errors.Is(err, want.old) {
				t.Errorf("the old key: %v", err)
			}
			for _, c := range []seal.Context{work, play} {
				got, err := inFiles(dir, fixedKey(next)).Get(ctx, c)
				if !errors.Is(err, want.next) || err == nil && string(got.Body) != c.Profile {
					t.Errorf("the new key, %s: %v", c.Profile, err)
				}
				if got, err := s.Get(ctx, c); err != nil || string(got.Body) != c.Profile {
					t.Errorf("the source's key, %s: %v", c.Profile, err)
				}
			}
		})
	}
}

// Who has the previous key's file and neither key has nothing.
func TestThePreviousKeyIsSealed(t *testing.T) {
	dir := t.TempDir()
	s := inFiles(dir, fixedKey(seal.NewKey()))
	if err := s.Set(t.Context(), work, Record{}); err != nil {
		t.Fatal(err)
	}
	if err := s.BeginRekey(t.Context(), seal.NewKey()); err != nil {
		t.Fatal(err)
	}
	if _, err := inFiles(dir, fixedKey(seal.NewKey())).Get(t.Context(), work); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("a stranger's key: %v", err)
	}
	if pending, err := s.Rekeying(); !pending || err != nil {
		t.Errorf("Rekeying() = %v, %v", pending, err)
	}
}
