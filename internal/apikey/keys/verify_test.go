package keys_test

import (
	"context"
	"errors"
	"hash/crc32"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/apikey/registry"
)

// asked notes what is asked of a registry: over a network each question takes a time
// that can be measured from outside.
type asked struct {
	apikey.Registry
	questions []string
}

func (a *asked) Key(ctx context.Context, id string) (apikey.Record, error) {
	a.questions = append(a.questions, "key")
	return a.Registry.Key(ctx, id)
}

func (a *asked) Pepper(ctx context.Context) (string, error) {
	a.questions = append(a.questions, "pepper")
	return a.Registry.Pepper(ctx)
}

func TestG57UnknownIsAskedForAsWrongIs(t *testing.T) {
	r, err := registry.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "registry.db"), apikey.ModeCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	a := &asked{Registry: r}
	g := &keys.Registrar{Registry: a, Format: apikey.DefaultFormat, Now: time.Now}
	g.Peppers = func(_ context.Context, id string) (apikey.Pepper, error) {
		a.questions = append(a.questions, "secret of "+id)
		return apikey.Pepper{ID: id, Secret: make([]byte, 32)}, nil
	}
	for _, pepper := range []string{"", "p"} {
		if pepper != "" {
			if err := g.SetPepper(t.Context(), pepper); err != nil {
				t.Fatal(err)
			}
		}
		texts, records, err := g.Create(t.Context(), apikey.Record{Owner: "x", Environment: "live"}, 2)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.Revoke(t.Context(), []string{records[1].ID}, ""); err != nil {
			t.Fatal(err)
		}
		stranger, err := apikey.Mint("fob", "live")
		if err != nil {
			t.Fatal(err)
		}
		var first []string
		for _, text := range []string{
			stranger.Key.Reveal(), withAnotherSecret(texts[0].Key.Reveal()), withAnotherSecret(texts[1].Key.Reveal()), "sk_live_of_another_system_1",
		} {
			a.questions = nil
			var refused *apikey.RefusedError
			if _, err := g.Verify(t.Context(), text, apikey.Need{}); !errors.As(err, &refused) || refused.Reason != apikey.Unknown {
				t.Error(err)
			}
			if first == nil {
				first = a.questions
			}
			if !slices.Equal(a.questions, first) {
				t.Errorf("pepper %q: asked %q, and for an unknown key %q", pepper, a.questions, first)
			}
		}
	}
}

// Where a pepper is required, a row without one is asked for, and refused, as an unknown
// id is; who owns such a key can still prove it, to revoke it.
func TestI79_RowWithoutPepperIsUnknown(t *testing.T) {
	r, err := registry.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "registry.db"), apikey.ModeCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	a := &asked{Registry: r}
	g := &keys.Registrar{Registry: a, Format: apikey.DefaultFormat, Now: time.Now}
	g.Peppers = func(_ context.Context, id string) (apikey.Pepper, error) {
		a.questions = append(a.questions, "secret of "+id)
		return apikey.Pepper{ID: id, Secret: make([]byte, 32)}, nil
	}
	draft := apikey.Record{Owner: "x", Environment: "live"}
	bare, records, err := g.Create(t.Context(), draft, 2)
	if err != nil {
		t.Fatal(err)
	}
	g.RequirePepper = true
	if _, _, err := g.Create(t.Context(), draft, 1); !errors.Is(err, keys.ErrNoPepper) {
		t.Error("created without a pepper:", err)
	}
	if _, err := g.Rotate(t.Context(), records[0].ID, keys.RotateOptions{}); !errors.Is(err, keys.ErrNoPepper) {
		t.Error("rotated without a pepper:", err)
	}
	imported := g.Importer()
	if _, err := imported.Complete(t.Context(), "sk_live_of_another_system_1", draft); !errors.Is(err, keys.ErrNoPepper) {
		t.Error("imported a key without a pepper:", err)
	}
	hashed := draft
	hashed.Digest = apikey.DigestOf("sk_live_of_another_system_1")
	if _, err := imported.Complete(t.Context(), "", hashed); !errors.Is(err, keys.ErrNoPepper) {
		t.Error("imported a hash without a pepper:", err)
	}
	if ids, err := g.WithoutPepper(t.Context()); err != nil || len(ids) != 2 {
		t.Error("without a pepper:", ids, err)
	}
	if _, err := g.Revoke(t.Context(), []string{records[1].ID}, ""); err != nil {
		t.Fatal(err)
	}
	if ids, err := g.WithoutPepper(t.Context()); err != nil || !slices.Equal(ids, []string{records[0].ID}) {
		t.Error("without a pepper, once one is revoked:", ids, err)
	}

	stranger, err := apikey.Mint("fob", "live")
	if err != nil {
		t.Fatal(err)
	}
	for _, present := range []string{"", "p"} { // who writes the registry may have cleared it
		if present != "" {
			if err := g.SetPepper(t.Context(), present); err != nil {
				t.Fatal(err)
			}
		}
		var first []string
		for _, text := range []string{stranger.Key.Reveal(), bare[0].Key.Reveal(), bare[1].Key.Reveal(), withAnotherSecret(bare[0].Key.Reveal())} {
			a.questions = nil
			record, err := g.Verify(t.Context(), text, apikey.Need{})
			var refused *apikey.RefusedError
			if !errors.As(err, &refused) || *refused != (apikey.RefusedError{Reason: apikey.Unknown}) || record.ID != "" {
				t.Error(record, err)
			}
			if first == nil {
				first = a.questions
			}
			if !slices.Equal(a.questions, first) {
				t.Errorf("pepper %q: asked %q, and for an unknown key %q", present, a.questions, first)
			}
		}
	}
	if record, err := g.Prove(t.Context(), bare[0].Key.Reveal()); err != nil || record.ID != records[0].ID {
		t.Error("its owner cannot prove it:", err)
	}
	good, _, err := g.Create(t.Context(), draft, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Verify(t.Context(), good[0].Key.Reveal(), apikey.Need{}); err != nil {
		t.Error("with a pepper:", err)
	}
	if done, err := g.Rotate(t.Context(), records[0].ID, keys.RotateOptions{Force: true}); err != nil || done.New.Pepper != "p" {
		t.Error("the replacement has no pepper:", done.New.Pepper, err)
	}
}

// withAnotherSecret is a well-formed key with the id of one that there is.
func withAnotherSecret(text string) string {
	const alphabet, digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", 6
	text = text[:len(text)-digits-1] + map[bool]string{true: "1", false: "0"}[text[len(text)-digits-1] == '0']
	sum := make([]byte, digits)
	for i, n := digits-1, crc32.ChecksumIEEE([]byte(text)); i >= 0; i, n = i-1, n/62 {
		sum[i] = alphabet[n%62]
	}
	return text + string(sum)
}
