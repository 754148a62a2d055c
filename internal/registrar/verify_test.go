package registrar_test

import (
	"context"
	"errors"
	"hash/crc32"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/registrar"
	"github.com/fobcli/fob/internal/registry"
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
	r, err := registry.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "registry.db"), true)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	a := &asked{Registry: r}
	g := &registrar.Registrar{Registry: a, Format: apikey.DefaultFormat, Now: time.Now}
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
