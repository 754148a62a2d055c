package secretstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/secret"
)

// issuer is what is outside: the values that are good there, and a destination.
type issuer struct {
	good      []string // values that the issuer honours
	delivered string
	minted    int
	ends      bool // the issuer ends the old value with the new one

	killAt string // the step that does not come back, before or after it has acted
}

type killed struct{ at string }

func (i *issuer) at(step string) {
	if i.killAt == step {
		panic(killed{step})
	}
}

func (i *issuer) steps() Steps {
	return Steps{
		Asks: true,
		Mint: func(_ context.Context, old secret.Secret) (Minted, error) {
			i.at("before mint")
			if i.ends && !slices.Contains(i.good, old.Reveal()) {
				return Minted{}, fmt.Errorf("401: %w", ErrUnanswered)
			}
			i.minted++
			value := fmt.Sprintf("new%d", i.minted)
			if i.ends {
				i.good = nil
			}
			i.good = append(i.good, value)
			i.at("after mint")
			return Minted{secret.New(value), i.ends}, nil
		},
		Deliver: func(_ context.Context, value secret.Secret) error {
			i.at("before deliver")
			i.delivered = value.Reveal()
			i.at("after deliver")
			return nil
		},
		Retire: func(_ context.Context, old secret.Secret) error {
			i.at("before retire")
			i.good = slices.DeleteFunc(i.good, func(v string) bool { return v == old.Reveal() })
			i.at("after retire")
			return nil
		},
	}
}

// survive runs a step that may be killed, and reports whether it was.
func survive(step func() error) (err error, wasKilled bool) {
	defer func() {
		if r := recover(); r != nil {
			if _, ok := r.(killed); !ok {
				panic(r)
			}
			wasKilled = true
		}
	}()
	return step(), false
}

// A rotation that is killed before or after anything that it does outside has what is
// delivered, and resumes to its end.
func TestF52ARotationKilledAtEveryStep(t *testing.T) {
	for _, ends := range []bool{false, true} {
		for _, at := range []string{"before mint", "after mint", "before deliver", "after deliver", "before retire", "after retire"} {
			t.Run(fmt.Sprint(at, " ", ends), func(t *testing.T) {
				dir, never := t.TempDir(), 0
				i := &issuer{good: []string{"old"}, delivered: "old", ends: ends, killAt: at}
				if err := inDir(dir, "a/b", &never).Set(t.Context(), secret.New("old")); err != nil {
					t.Fatal(err)
				}
				err, wasKilled := survive(func() error { return inDir(dir, "a/b", &never).Rotate(t.Context(), i.steps()) })
				if !wasKilled && (!ends || !strings.HasSuffix(at, "retire")) {
					t.Fatalf("not killed: %v", err)
				}
				i.killAt = ""
				s := inDir(dir, "a/b", &never)
				lost := ends && at == "after mint" // no client can help there: the answer was never read
				if got := valueOf(t, s); !lost && !slices.Contains(i.good, got) {
					t.Errorf("'get' prints %q, and the issuer honours %q", got, i.good)
				}
				if err := s.Set(t.Context(), secret.New("other")); wasKilled && !strings.Contains(at, "mint") && !errors.Is(err, ErrOpen) {
					t.Errorf("another value took the place of two: %v", err)
				} else if err == nil {
					return // it may be set anew where there is no second value
				}
				err = s.Resume(t.Context(), i.steps())
				if h, _ := s.Get(t.Context()); !wasKilled {
					if !errors.Is(err, ErrNotOpen) {
						t.Error(err)
					}
				} else if err != nil || h.Stage != AtRest || h.other != (secret.Secret{}) {
					t.Errorf("resumed: %v, %s", err, h.Stage)
				}
				if got := valueOf(t, s); got != i.delivered || !slices.Equal(i.good, []string{got}) {
					t.Errorf("kept %q, delivered %q, good %q", got, i.delivered, i.good)
				}
			})
		}
	}
}

// F51: whichever save fails, no value that the issuer honours is in nobody's hands.
func TestF51ARotationWhoseSavesFail(t *testing.T) {
	for _, ends := range []bool{false, true} {
		for at := 2; at <= 5; at++ { // the first one sets the value
			t.Run(fmt.Sprint(at, ends), func(t *testing.T) {
				failAt := 0
				s := inDir(t.TempDir(), "a", &failAt)
				i := &issuer{good: []string{"old"}, delivered: "old", ends: ends}
				if err := s.Set(t.Context(), secret.New("old")); err != nil {
					t.Fatal(err)
				}
				failAt = at
				err := s.Rotate(t.Context(), i.steps())
				if err == nil {
					if ends && at > 4 {
						return // it has one save less
					}
					t.Fatal("no save failed")
				}
				var unkept *UnkeptError
				h, getErr := s.Get(t.Context())
				if getErr != nil {
					t.Fatal(getErr)
				}
				for _, good := range i.good {
					held := h.Value.Reveal() == good || h.other.Reveal() == good || errors.As(err, &unkept) && unkept.Value.Reveal() == good
					if !held {
						t.Errorf("%q is lost: %v", good, err)
					}
				}
				if at == 2 && i.minted > 0 {
					t.Error("the issuer was asked though nothing can be kept")
				}
				failAt = 0
				if errors.As(err, &unkept) && ends {
					return // what is printed must be set by hand
				}
				if h.Stage != AtRest {
					if err := s.Resume(t.Context(), i.steps()); err != nil {
						t.Fatal(err)
					}
					if got := valueOf(t, s); got != i.delivered || !slices.Contains(i.good, got) {
						t.Errorf("kept %q, delivered %q, good %q", got, i.delivered, i.good)
					}
				}
			})
		}
	}
}

// Nothing is retired while a delivery fails; the old value is given out until then.
func TestAFailedDeliveryRetiresNothing(t *testing.T) {
	never := 0
	s := inDir(t.TempDir(), "a", &never)
	if err := s.Set(t.Context(), secret.New("old")); err != nil {
		t.Fatal(err)
	}
	i := &issuer{good: []string{"old"}}
	steps, refused := i.steps(), errors.New("the platform refuses")
	steps.Deliver = func(context.Context, secret.Secret) error { return refused }
	steps.Retire = func(context.Context, secret.Secret) error { t.Error("retired"); return nil }
	for range 2 {
		if err := s.Rotate(t.Context(), steps); !errors.Is(err, refused) && !errors.Is(err, ErrOpen) {
			t.Error(err)
		}
		if err := s.Resume(t.Context(), steps); !errors.Is(err, refused) {
			t.Error(err)
		}
		if got := valueOf(t, s); got != "old" || i.minted != 1 {
			t.Errorf("%q, minted %d", got, i.minted)
		}
	}
	if err := s.Abandon(t.Context()); err != nil || valueOf(t, s) != "old" {
		t.Error(err)
	}
	if err := s.Abandon(t.Context()); !errors.Is(err, ErrNotOpen) {
		t.Error(err)
	}
}

func TestAMintThatFailsLeavesTheOldValue(t *testing.T) {
	never := 0
	s := inDir(t.TempDir(), "a", &never)
	if err := s.Set(t.Context(), secret.New("old")); err != nil {
		t.Fatal(err)
	}
	before, _ := s.Get(t.Context())
	refused := errors.New("no")
	steps := Steps{Asks: true, Mint: func(context.Context, secret.Secret) (Minted, error) { return Minted{}, refused }}
	if err := s.Rotate(t.Context(), steps); !errors.Is(err, refused) {
		t.Error(err)
	}
	if h, _ := s.Get(t.Context()); h != before {
		t.Errorf("%+v became %+v", before, h)
	}
	steps.Mint = func(context.Context, secret.Secret) (Minted, error) { return Minted{}, nil }
	if err := s.Rotate(t.Context(), steps); !errors.Is(err, ErrValue) {
		t.Error(err)
	}
	steps.Mint = func(context.Context, secret.Secret) (Minted, error) { return Minted{}, ErrUnanswered }
	if err := s.Rotate(t.Context(), steps); !errors.Is(err, ErrUnanswered) {
		t.Error(err)
	}
	if h, _ := s.Get(t.Context()); h.Stage != Asked || h.Value.Reveal() != "old" || !h.SetAt.Equal(before.SetAt) {
		t.Errorf("%+v", h)
	}
	if err := s.Resume(t.Context(), Steps{}); !errors.Is(err, ErrUnanswered) {
		t.Error(err)
	}
	if err := s.Set(t.Context(), secret.New("by hand")); err != nil {
		t.Error(err)
	}
}

// Of two that bring the same value in, the second finds it in force once the first has let
// go of the lock: it ends nothing.
func TestG55TheValueInForceIsNotRetired(t *testing.T) {
	for _, asks := range []bool{false, true} {
		never := 0
		s := inDir(t.TempDir(), "a", &never)
		if err := s.Set(t.Context(), secret.New("old")); err != nil {
			t.Fatal(err)
		}
		i := &issuer{good: []string{"old", "new"}}
		steps := i.steps()
		steps.Asks = asks
		steps.Mint = func(context.Context, secret.Secret) (Minted, error) { return Minted{Value: secret.New("new")}, nil }
		if err := s.Rotate(t.Context(), steps); err != nil {
			t.Fatal(err)
		}
		if err := s.Rotate(t.Context(), steps); !errors.Is(err, ErrSame) {
			t.Error(err)
		}
		if h, _ := s.Get(t.Context()); !slices.Equal(i.good, []string{"new"}) || h.Value.Reveal() != "new" || h.Stage != AtRest {
			t.Errorf("the issuer honours %q; %s", i.good, h.Stage)
		}
	}
}

// Two values of the largest size and what is said of them fit a record.
func TestTheLargestSecretsRotate(t *testing.T) {
	never := 0
	s := inDir(t.TempDir(), "a", &never)
	old, next := strings.Repeat("o", MaxValue), strings.Repeat("n", MaxValue)
	if err := s.Set(t.Context(), secret.New(old)); err != nil {
		t.Fatal(err)
	}
	i := &issuer{}
	steps := i.steps()
	steps.Mint = func(context.Context, secret.Secret) (Minted, error) { return Minted{Value: secret.New(next)}, nil }
	if err := s.Rotate(t.Context(), steps); err != nil || valueOf(t, s) != next {
		t.Error(err)
	}
}
