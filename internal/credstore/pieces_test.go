package credstore

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/seal"
)

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func sameRecord(a, b Record) bool {
	return bytes.Equal(a.Head, b.Head) && bytes.Equal(a.Body, b.Body)
}

func TestE45AnySizeOnEveryBackend(t *testing.T) {
	m := &memoryKeyring{items: map[string]string{}}
	for name, s := range map[string]*Store{
		"keyring": inMemory(t.TempDir(), m),
		"file":    inFiles(t.TempDir(), fixedKey(seal.NewKey())),
	} {
		for _, size := range []int{0, 1, 1300, 1400, 1439, 1500, 6 << 10, MaxRecord - 100, 3000, 10, MaxRecord - 100} {
			r := Record{Head: randomBytes(100), Body: randomBytes(size)}
			if err := s.Set(t.Context(), work, r); err != nil {
				t.Fatalf("E45 %s: %d bytes: %v", name, size, err)
			}
			if got, err := s.Get(t.Context(), work); err != nil || !sameRecord(got, r) {
				t.Errorf("E45 %s: %d bytes: %v", name, size, err)
			}
			if got, err := s.Peek(t.Context(), work); err != nil || !bytes.Equal(got.Head, r.Head) {
				t.Errorf("E45 %s: the head of %d bytes: %v", name, size, err)
			}
		}
		if err := s.Probe(t.Context(), 6<<10); err != nil {
			t.Errorf("E45 %s: Probe() = %v", name, err)
		}
	}
	for account, text := range m.items {
		if len(text) > 2000 {
			t.Errorf("E45: %s has %d characters", account, len(text))
		}
	}
	if pieces := len(m.items) - 1; pieces != (MaxRecord-100+61+maxItem-1)/maxItem {
		t.Errorf("E45: %d pieces", pieces)
	}
}

func TestNoPieceIsLeft(t *testing.T) {
	m := &memoryKeyring{items: map[string]string{}}
	dir := t.TempDir()
	s := inMemory(dir, m)
	for _, size := range []int{9000, 3000, 20000, 4000, 10} {
		if err := s.Set(t.Context(), work, Record{Body: randomBytes(size)}); err != nil {
			t.Fatal(err)
		}
		if want := 1 + (size+61+maxItem-1)/maxItem; len(m.items) != want && size > 100 {
			t.Errorf("%d bytes: %d items, not %d", size, len(m.items), want)
		}
	}
	if len(m.items) != 1 {
		t.Errorf("%d items for a small record", len(m.items))
	}
	if err := s.Set(t.Context(), work, Record{Body: randomBytes(9000)}); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), work); err != nil || len(m.items) != 0 {
		t.Errorf("Delete() = %v, and left %d items", err, len(m.items))
	}
	if n, err := s.pieceBound(work); n != 0 || err != nil {
		t.Errorf("and a reach of %d, %v", n, err)
	}
}

// The keyring dies after any number of changes: what is read afterwards is the old
// record or the new one, and no piece stays for ever.
func TestACrashAtAnyChangeLeavesARecordWhole(t *testing.T) {
	before := Record{Head: []byte("old"), Body: randomBytes(7000)}
	for _, after := range []Record{
		{Head: []byte("new"), Body: randomBytes(7000)},
		{Head: []byte("new"), Body: randomBytes(20000)},
		{Head: []byte("new"), Body: randomBytes(2000)},
		{Head: []byte("new"), Body: []byte("small")},
	} {
		for changes := 0; ; changes++ {
			m := &memoryKeyring{items: map[string]string{}}
			dir := t.TempDir()
			if err := inMemory(dir, m).Set(t.Context(), work, before); err != nil {
				t.Fatal(err)
			}
			m.dieAfter(changes)
			setErr := inMemory(dir, m).Set(t.Context(), work, after)
			survived := m.revive()
			s := inMemory(dir, m)
			got, err := s.Get(t.Context(), work)
			if err != nil || !sameRecord(got, before) && !sameRecord(got, after) {
				t.Fatalf("after %d changes: %v", changes, err)
			}
			if setErr == nil && !sameRecord(got, after) {
				t.Fatalf("after %d changes: Set() = nil, and the old record is there", changes)
			}
			wantSwept(t, s, m, got)
			if survived {
				break
			}
		}
	}
}

// wantSwept sweeps, and expects the record whole and nothing beside it.
func wantSwept(t *testing.T, s *Store, m *memoryKeyring, want Record) {
	t.Helper()
	if _, err := s.Sweep(t.Context(), work); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(t.Context(), work); err != nil || !sameRecord(got, want) {
		t.Fatalf("sweeping has damaged the record: %v", err)
	}
	named := 1
	if _, manifest, err := s.readHead(t.Context(), work); err != nil {
		t.Fatal(err)
	} else if manifest != nil {
		named += int(manifest.count)
	}
	if len(m.items) != named {
		t.Fatalf("%d items after the sweep, %d are named: %v", len(m.items), named, slices.Sorted(maps.Keys(m.items)))
	}
}

func TestACrashInAFirstLoginOrADeletionLeavesNothingForEver(t *testing.T) {
	for changes := range 9 {
		m := &memoryKeyring{items: map[string]string{}}
		dir := t.TempDir()
		m.dieAfter(changes)
		_ = inMemory(dir, m).Set(t.Context(), work, Record{Body: randomBytes(7000)})
		m.revive()
		if err := inMemory(dir, m).Set(t.Context(), work, Record{Body: randomBytes(9000)}); err != nil {
			t.Fatal(err)
		}
		m.dieAfter(changes)
		_ = inMemory(dir, m).Delete(t.Context(), work)
		m.revive()
		if err := inMemory(dir, m).Delete(t.Context(), work); err != nil && !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		if len(m.items) != 0 {
			t.Errorf("after %d changes %d items are left", changes, len(m.items))
		}
	}
}

func TestF47PiecesThatWereMovedOrLost(t *testing.T) {
	m := &memoryKeyring{items: map[string]string{}}
	dir := t.TempDir()
	if err := inMemory(dir, m).Set(t.Context(), work, Record{Body: randomBytes(7000)}); err != nil {
		t.Fatal(err)
	}
	piece := func(suffix string) string {
		for account := range m.items {
			if strings.HasSuffix(account, suffix) {
				return account
			}
		}
		t.Fatalf("there is no item %s", suffix)
		return ""
	}
	first, second := piece("/a/0"), piece("/a/1")
	for what, change := range map[string]func(map[string]string){
		"swapped":   func(items map[string]string) { items[first], items[second] = items[second], items[first] },
		"missing":   func(items map[string]string) { delete(items, second) },
		"truncated": func(items map[string]string) { items[second] = items[second][:1000] },
		"foreign":   func(items map[string]string) { items[second] = "not base64!" },
	} {
		changed := &memoryKeyring{items: maps.Clone(m.items)}
		change(changed.items)
		if _, err := inMemory(dir, changed).Get(t.Context(), work); !errors.Is(err, ErrCorrupt) {
			t.Errorf("F47 %s: Get() = %v", what, err)
		}
		if _, err := inMemory(dir, changed).Peek(t.Context(), work); err != nil {
			t.Errorf("F47 %s: the head alone is good: %v", what, err)
		}
	}
}

// A body is no record, and a record of another profile no body.
func TestF48ABodyOpensInItsPlaceAlone(t *testing.T) {
	key := seal.NewKey()
	sealed := key.Seal(bodyContext(work), []byte("body"))
	if _, err := key.Open(work, sealed); !errors.Is(err, seal.ErrWrongContext) {
		t.Errorf("F48: %v", err)
	}
}

// Who reads without a lock sees the record of one write or of another.
func TestReadingBesideAWriter(t *testing.T) {
	m := &memoryKeyring{items: map[string]string{}}
	dir := t.TempDir()
	write := func(i int) {
		body := bytes.Repeat([]byte{byte(i)}, 5000)
		if err := inMemory(dir, m).Set(t.Context(), work, Record{Head: []byte{byte(i)}, Body: body}); err != nil {
			t.Error(err)
		}
	}
	write(0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 200 {
			write(i)
		}
	}()
	for reads := 0; ; reads++ {
		r, err := inMemory(dir, m).Get(t.Context(), work)
		if err != nil || len(r.Body) != 5000 || !bytes.Equal(bytes.Repeat(r.Head, 5000), r.Body) {
			t.Fatalf("read %d: %v", reads, err)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}

func TestHeadTooLarge(t *testing.T) {
	s := inMemory(t.TempDir(), &memoryKeyring{items: map[string]string{}})
	if err := s.Set(t.Context(), work, Record{Head: make([]byte, 1450), Body: make([]byte, 100)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("Set() = %v", err)
	}
}

func FuzzParseItem(f *testing.F) {
	m := &manifest{generation: 'a', count: 3}
	f.Add(encodeInline(Record{Head: []byte("head"), Body: []byte("body")}))
	f.Add(m.appendTo(encodeHead(layoutPieces, []byte("head"))))
	f.Add([]byte{layoutPieces, 0x80})
	f.Add([]byte{layoutInline, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, plain []byte) {
		r, m, err := parseItem(plain)
		switch {
		case err != nil && !errors.Is(err, ErrCorrupt):
			t.Error(err)
		case err != nil:
		case m == nil:
			if again, _, err := parseItem(encodeInline(r)); err != nil || !sameRecord(again, r) {
				t.Errorf("%v, %v", again, err)
			}
		default:
			_, again, err := parseItem(m.appendTo(encodeHead(layoutPieces, r.Head)))
			if err != nil || *again != *m || m.count > maxPieces {
				t.Errorf("%v, %v", again, err)
			}
			if fmt.Sprint(pieceNames(work, m.generation, 0, int(m.count))) == "" {
				t.Error("no names")
			}
		}
	})
}
