package credstore

import (
	"bytes"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// large is a record in several pieces.
var large = Record{Head: []byte("h"), Body: bytes.Repeat([]byte("x"), 5*maxItem)}

func (f *fakeSecretService) names() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.items))
}

func mustStore(t *testing.T, s *Store, r Record) {
	t.Helper()
	if err := s.Set(t.Context(), login, r); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), login); err != nil || !bytes.Equal(got.Body, r.Body) {
		t.Fatalf("%d bytes, %v", len(got.Body), err)
	}
}

func TestKeyring_DefaultCollection(t *testing.T) {
	f := startSecretService(t)
	s, _ := onBus(t)
	mustStore(t, s, Record{Head: []byte("h"), Body: []byte("old")})
	f.set(func() { f.other = true })
	s.items.(tracedItems).items.(*keyringItems).os = newOSKeyring(os.Getenv) // as of another process
	if got, err := s.Get(t.Context(), login); err != nil || string(got.Body) != "old" {
		t.Errorf("what an older version wrote: %q, %v", got.Body, err)
	}
	mustStore(t, s, Record{Head: []byte("h"), Body: []byte("new")})
	if err := s.Delete(t.Context(), login); err != nil || len(f.names()) != 0 {
		t.Errorf("%v; left: %q", err, f.names())
	}
	mustStore(t, s, large)
	for _, name := range f.names() {
		if !strings.HasPrefix(name, string(ssOther)+"/") {
			t.Errorf("%s is not in the default collection", name)
		}
	}
}

func TestKeyring_LockedItemsPromptOnce(t *testing.T) {
	f := startSecretService(t)
	s, _ := onBus(t)
	mustStore(t, s, large)
	lock := func() {
		names := f.names()
		f.set(func() {
			f.lockedItems, f.asked, f.prompts = map[string]bool{}, nil, 0
			for _, name := range names {
				f.lockedItems[name] = true
			}
		})
	}
	lock()
	if got, err := s.Get(t.Context(), login); err != nil || !bytes.Equal(got.Body, large.Body) {
		t.Errorf("%d bytes, %v", len(got.Body), err)
	}
	f.set(func() {
		if f.prompts != 1 {
			t.Errorf("%d prompts", f.prompts)
		}
	})
	lock()
	mustStore(t, s, Record{Head: []byte("h"), Body: []byte("small")})
}

func TestKeyring_Duplicates(t *testing.T) {
	f := startSecretService(t)
	f.set(func() { f.duplicates = true })
	s, _ := onBus(t)
	mustStore(t, s, Record{Head: []byte("h"), Body: []byte("one")})
	mustStore(t, s, Record{Head: []byte("h"), Body: []byte("two")})
	if names := f.names(); len(names) != 1 {
		t.Errorf("after a change: %q", names)
	}
	mustStore(t, s, large)
	if err := s.Delete(t.Context(), login); err != nil || len(f.names()) != 0 {
		t.Errorf("%v; left: %q", err, f.names())
	}
}
