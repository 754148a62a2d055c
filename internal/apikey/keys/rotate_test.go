package keys_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/apikey/registry"
)

var errRefused = errors.New("refused")

// box is a destination that has a key, or refuses another one.
type box struct {
	name    string
	content string
	refuses bool
}

func (b *box) Name() string { return "box:" + b.name }

func (b *box) Deliver(_ context.Context, key apikey.Minted, _ apikey.Record) error {
	if b.refuses {
		return errRefused
	}
	b.content = key.ID
	return nil
}

// interrupted is a registry whose process is killed before one more change than left.
type interrupted struct {
	apikey.Registry
	left int
}

func (i *interrupted) Change(ctx context.Context, do func(apikey.Tx) error) error {
	if i.left--; i.left < 0 {
		return errors.New("killed")
	}
	return i.Registry.Change(ctx, do)
}

func newRegistrar(t *testing.T) *keys.Registrar {
	t.Helper()
	r, err := registry.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "registry.db"), apikey.ModeCreate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return &keys.Registrar{Registry: r, Format: apikey.DefaultFormat, Now: time.Now}
}

func newKey(t *testing.T, g *keys.Registrar) string {
	t.Helper()
	_, created, err := g.Create(t.Context(), apikey.Record{Owner: "shop", Environment: "live"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return created[0].ID
}

// A revoked replacement is still where it was delivered: the rotation goes on until every
// destination has another key.
func TestRotate_RevokedReplacementIsReplaced(t *testing.T) {
	g := newRegistrar(t)
	id := newKey(t, g)
	a, b := &box{name: "a"}, &box{name: "b", refuses: true}
	opts := keys.RotateOptions{Overlap: time.Hour, To: []keys.Destination{a, b}}
	if _, err := g.Rotate(t.Context(), id, opts); !errors.Is(err, errRefused) || a.content == "" {
		t.Fatal(a.content, err)
	}
	if _, err := g.Revoke(t.Context(), []string{a.content}, ""); err != nil {
		t.Fatal(err)
	}
	a.refuses = true
	if _, err := g.Rotate(t.Context(), id, opts); !errors.Is(err, errRefused) {
		t.Fatal(err)
	}
	if open, err := g.Unfinished(t.Context(), id); len(open) != 1 || err != nil {
		t.Errorf("%d unfinished rotations, %v", len(open), err)
	}
	a.refuses, b.refuses = false, false
	done, err := g.Rotate(t.Context(), id, opts)
	if err != nil || a.content != done.New.ID || b.content != done.New.ID {
		t.Error(a.content, b.content, done.New.ID, err)
	}
}

// A key that was found to be leaked while its delivered replacement waited stays leaked.
func TestRotate_CompromisedAfterDelivery(t *testing.T) {
	g := newRegistrar(t)
	id := newKey(t, g)
	a := &box{name: "a"}
	opts := keys.RotateOptions{To: []keys.Destination{a}}
	used := time.Now().Add(time.Minute)
	if err := g.Registry.Use(t.Context(), []apikey.Use{{ID: id, Count: 1, Last: used}}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Rotate(t.Context(), id, opts); !errors.Is(err, keys.ErrStillUsed) {
		t.Fatal(err)
	}
	killed := *g
	killed.Registry = &interrupted{g.Registry, 1}
	opts.Compromised = true
	if _, err := killed.Rotate(t.Context(), id, opts); err == nil {
		t.Fatal("it was not killed")
	}
	if _, err := g.Revoke(t.Context(), []string{a.content}, ""); err != nil {
		t.Fatal(err)
	}
	opts.Compromised, opts.Overlap, opts.Force = false, time.Hour, true
	if _, err := g.Rotate(t.Context(), id, opts); err != nil {
		t.Fatal(err)
	}
	old, err := g.Find(t.Context(), id)
	if err != nil || old.RevokedAt.IsZero() {
		t.Errorf("the leaked key is %s, %v", old.State(time.Now()), err)
	}
}
