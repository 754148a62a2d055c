package usage

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// folded collects what a spool hands over.
func folded(t *testing.T, s Spool) []apikey.Use {
	t.Helper()
	var got []apikey.Use
	err := s.Fold(t.Context(), func(_ context.Context, uses []apikey.Use) error {
		got = append(got, uses...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(got, func(a, b apikey.Use) int { return strings.Compare(a.ID, b.ID) })
	return got
}

func TestUsesAreSummed(t *testing.T) {
	s := Spool{Dir: filepath.Join(t.TempDir(), "cache")}
	for i, id := range []string{"1AAAAAAAAAAA", "1BBBBBBBBBBB", "1AAAAAAAAAAA"} {
		if full, err := s.Add(apikey.Use{ID: id, Last: noon.Add(time.Duration(-i) * time.Second)}); full || err != nil {
			t.Fatal(full, err)
		}
	}
	want := []apikey.Use{{ID: "1AAAAAAAAAAA", Count: 2, Last: noon}, {ID: "1BBBBBBBBBBB", Count: 1, Last: noon.Add(-time.Second)}}
	if got := folded(t, s); !slices.Equal(got, want) {
		t.Error(got)
	}
	if got := folded(t, s); got != nil {
		t.Error("handed over twice", got)
	}
}

func TestRegistriesHaveTheirOwn(t *testing.T) {
	dir := t.TempDir()
	a, b := Spool{Dir: dir, Registry: "a"}, Spool{Dir: dir, Registry: "b"}
	if _, err := a.Add(apikey.Use{ID: "1AAAAAAAAAAA", Last: noon}); err != nil {
		t.Fatal(err)
	}
	for _, s := range []Spool{b, a} {
		if got := folded(t, s); len(got) == 1 == (s == b) {
			t.Errorf("%q: %v", s.Registry, got)
		}
	}
	if _, err := a.Add(apikey.Use{ID: "1AAAAAAAAAAA", Last: noon}); err != nil {
		t.Fatal(err)
	}
	if err := b.Remove(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Error(left)
	}
}

func TestFullByAgeAndBySize(t *testing.T) {
	s := Spool{Dir: t.TempDir()}
	if full, err := s.Add(apikey.Use{ID: "1AAAAAAAAAAA", Last: noon}); full || err != nil {
		t.Fatal(full, err)
	}
	if full, err := s.Add(apikey.Use{ID: "1AAAAAAAAAAA", Last: noon.Add(maxAge + time.Second)}); !full || err != nil {
		t.Error("not full by age", err)
	}
	folded(t, s)
	full := false
	for n := 0; !full && n < maxSize; n++ {
		var err error
		if full, err = s.Add(apikey.Use{ID: "1AAAAAAAAAAA", Last: noon}); err != nil {
			t.Fatal(err)
		}
	}
	if !full {
		t.Error("never full")
	}
}

func TestManyAtOnce(t *testing.T) {
	s := Spool{Dir: t.TempDir()}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := s.Add(apikey.Use{ID: "1AAAAAAAAAAA", Last: noon}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := folded(t, s); len(got) != 1 || got[0].Count != 50 {
		t.Error(got)
	}
}

func TestGarbageIsLeftOut(t *testing.T) {
	s := Spool{Dir: t.TempDir()}
	if err := os.WriteFile(s.path(), []byte("x\n' OR 1=1 -- 5\n1AAAAAAAAAAA x\n1AAAAAAAAAAA 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := folded(t, s); len(got) != 1 || got[0].Count != 1 {
		t.Error(got)
	}
}

func TestF50UnsafeFileIsRefused(t *testing.T) {
	s := Spool{Dir: t.TempDir()}
	if err := os.Symlink("/etc/passwd", s.path()); err != nil {
		t.Skip(err)
	}
	if _, err := s.Add(apikey.Use{ID: "1AAAAAAAAAAA", Last: noon}); err == nil {
		t.Error("a link was followed")
	}
	err := s.Fold(t.Context(), func(context.Context, []apikey.Use) error { return errors.New("called") })
	if err == nil || err.Error() == "called" {
		t.Error(err)
	}
}
