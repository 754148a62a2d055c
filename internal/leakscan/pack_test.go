package leakscan

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// found are a result's findings in an order of their own.
func found(r Result) []string {
	var all []string
	for _, f := range r.Findings {
		all = append(all, fmt.Sprint(f.Key.Reveal(), f.Commit, f.Path, f.Line, ":", f.Column))
	}
	slices.Sort(all)
	return all
}

// byGit is what git alone finds.
func byGit(t *testing.T, s *Scanner, dir string) Result {
	t.Helper()
	var result Result
	list := func(ctx context.Context, names chan<- []string) error { return listObjects(ctx, dir, names) }
	if err := s.batches(t.Context(), dir, list, &result, nil); err != nil {
		t.Fatal(err)
	}
	if err := findOrigins(t.Context(), dir, result.Findings); err != nil {
		t.Fatal(err)
	}
	return result
}

// growing makes a repository in which files change a little with each of many commits,
// and keys come and go.
func growing(t testing.TB, commits int) repository {
	t.Helper()
	r := newRepository(t)
	random := rand.New(rand.NewPCG(1, 2))
	lines := strings.Split(strings.Repeat("some line of text that is not too short\n", 200), "\n")
	for i := range commits {
		lines[random.IntN(len(lines))] = fmt.Sprint("line ", random.Uint64())
		if i%4 == 0 {
			lines[random.IntN(len(lines))] = "KEY=" + key(t, "acme")
		}
		write(t, filepath.Join(r.dir, fmt.Sprint("f", i%3)), strings.Join(lines, "\n"))
		r.git("add", ".")
		r.git("commit", "-q", "-m", fmt.Sprint("commit ", i))
	}
	r.git("tag", "-a", "v1", "-m", "with "+key(t, "acme"))
	return r
}

// Whatever way a repository is packed, what is found is what git finds.
func TestPacksAsGitReadsThem(t *testing.T) {
	s := scanner(t, "acme")
	for name, pack := range map[string]func(r repository){
		"loose":           func(repository) {},
		"one pack":        func(r repository) { r.git("repack", "-q", "-a", "-d", "-f", "--depth=50") },
		"bases by name":   func(r repository) { r.git("-c", "repack.useDeltaBaseOffset=false", "repack", "-q", "-a", "-d", "-f") },
		"no differences":  func(r repository) { r.git("repack", "-q", "-a", "-d", "-f", "--depth=0") },
		"twins":           func(r repository) { r.git("repack", "-q", "-a"); r.git("repack", "-q", "-a", "--depth=0", "-f") },
		"packs and loose": func(r repository) { r.git("repack", "-q"); write(t, r.dir+"/new", key(t, "acme")); r.git("add", ".") },
		"many packs": func(r repository) {
			r.git("repack", "-q", "-a", "-d", "--max-pack-size=1m")
			r.git("-c", "gc.auto=0", "commit", "-q", "--allow-empty", "-m", key(t, "acme"))
			r.git("repack", "-q")
		},
		"unreachable ones": func(r repository) {
			r.git("reset", "-q", "--hard", "HEAD~20")
			r.git("tag", "-d", "v1")
			r.git("reflog", "expire", "--expire=now", "--all")
			r.git("repack", "-q", "-a", "-d", "-k")
		},
	} {
		r := growing(t, 60)
		pack(r)
		want := byGit(t, s, r.dir)
		got, left, err := s.packed(t.Context(), r.dir, nil)
		if err != nil || strings.HasPrefix(name, "one") && len(left) > 0 {
			t.Errorf("%s: %v, and %d are left for git", name, err, len(left))
		}
		if got, err = s.History(t.Context(), r.dir, nil); err != nil || got.Files != want.Files || got.Bytes != want.Bytes || !slices.Equal(found(got), found(want)) || len(got.Findings) < 12 {
			t.Errorf("%s: %v, %d keys in %d objects of %d bytes, and git has %d in %d of %d", name, err, len(got.Findings), got.Files, got.Bytes, len(want.Findings), want.Files, want.Bytes)
		}
	}
}

// What is not as most repositories are is git's to read, and what is too large.
func TestPacksThatAreGits(t *testing.T) {
	s := scanner(t, "acme")
	large := newRepository(t)
	write(t, large.dir+"/large", strings.Repeat("x\n", maxObject/2)+key(t, "acme"))
	large.git("add", ".")
	large.git("commit", "-q", "-m", "large")
	large.git("repack", "-q", "-a", "-d")
	borrows := newRepository(t)
	write(t, borrows.dir+"/.git/objects/info/alternates", growing(t, 4).dir+"/.git/objects\n")
	newer := repository{t, t.TempDir()}
	newer.git("init", "-q", "--object-format=sha256")
	write(t, newer.dir+"/f", key(t, "acme"))
	newer.git("add", ".")
	for name, c := range map[string]struct {
		r    repository
		left int // -1: all
		keys int
	}{"a large object": {large, 1, 1}, "alternates": {borrows, -1, 5}, "SHA-256": {newer, -1, 1}} {
		if _, left, err := s.packed(t.Context(), c.r.dir, nil); (err != nil) != (c.left < 0) || err == nil && len(left) != c.left {
			t.Errorf("%s: %v, %d", name, err, len(left))
		}
		if got, err := s.History(t.Context(), c.r.dir, nil); err != nil || len(got.Findings) != c.keys {
			t.Errorf("%s: %v, %d found", name, err, len(got.Findings))
		}
	}
}

// A damaged pack is never a clean scan: git is asked, and says what is wrong.
func TestADamagedPack(t *testing.T) {
	s := scanner(t, "acme")
	r := growing(t, 30)
	r.git("repack", "-q", "-a", "-d", "-f")
	path, _ := filepath.Glob(r.dir + "/.git/objects/pack/*.pack")
	whole, err := os.ReadFile(path[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path[0], 0o600); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 40 {
		damaged := bytes.Clone(whole)
		damaged[12+random.IntN(len(whole)-32)] ^= 1 << random.IntN(8)
		if err := os.WriteFile(path[0], damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := s.History(t.Context(), r.dir, nil)
		if err == nil && len(got.Skipped) == 0 && len(got.Findings) < 9 {
			t.Errorf("%d keys were found, and nothing was said", len(got.Findings))
		}
	}
}

// chain is a pack of an object and a long chain of others, each like the one before.
func chain(t *testing.T, size, depth int) *pack {
	t.Helper()
	deflated := func(data []byte) []byte {
		var b bytes.Buffer
		z := zlib.NewWriter(&b)
		_, err := z.Write(data)
		if err := errors.Join(err, z.Close()); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	// A type and a size, of which the low 4 bits stand first; then the size's others.
	head := func(kind, size int) []byte {
		return append([]byte{byte(0x80 | kind<<4 | size&15)}, binary.AppendUvarint(nil, uint64(size>>4))...)
	}
	copyAll := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(size)), uint64(size))
	copyAll = append(copyAll, 0xf0, byte(size), byte(size>>8), byte(size>>16))
	text := append(make([]byte, 12), append(head(3, size), deflated(make([]byte, size))...)...)
	before, offsets := 12, []int{12}
	for range depth {
		at := len(text)
		back := at - before - 0x80 // of two bytes, which begin at 128
		text = append(text, append(append(head(kindOffsetDelta, len(copyAll)), byte(0x80|back>>7), byte(back&0x7f)), deflated(copyAll)...)...)
		text = append(text, make([]byte, 0x80)...) // so that the distance has two
		before, offsets = at, append(offsets, at)
	}
	index := []byte("\xfftOc\x00\x00\x00\x02")
	for range 256 {
		index = binary.BigEndian.AppendUint32(index, uint32(len(offsets)))
	}
	for i := range offsets {
		index = append(binary.BigEndian.AppendUint32(index, uint32(i)), make([]byte, nameSize-4)...)
	}
	index = append(index, make([]byte, 4*len(offsets))...)
	for _, at := range offsets {
		index = binary.BigEndian.AppendUint32(index, uint32(at))
	}
	text = append(text, make([]byte, nameSize)...)
	p, err := readPack(bytes.NewReader(text), int64(len(text)), append(index, make([]byte, 2*nameSize)...))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A small pack of long chains keeps no more memory than one of short ones.
func TestH62LongChainsKeepNoMemory(t *testing.T) {
	const depth, size = 4 * maxLevels, maxKept - 1<<13
	seen := 0
	u := &unpacker{pack: chain(t, size, depth), left: func(*packed) {}, whole: func(*packed, []byte) error { seen++; return nil }}
	if err := u.root(0); err != nil || seen != depth+1 {
		t.Fatal(seen, err)
	}
	kept := 0
	for _, level := range u.levels {
		kept += cap(level)
	}
	if kept > maxLevels*maxKept {
		t.Errorf("%d bytes are kept", kept)
	}
}

// Whatever stands in a pack and its index, fob ends in good time, and takes no memory for
// what the pack only claims.
func FuzzPack(f *testing.F) {
	for _, byName := range []string{"true", "false"} {
		r := growing(f, 4)
		r.git("-c", "repack.useDeltaBaseOffset="+byName, "repack", "-q", "-a", "-d", "-f")
		paths, _ := filepath.Glob(r.dir + "/.git/objects/pack/*.pack")
		text, err := os.ReadFile(paths[0])
		index, err2 := os.ReadFile(strings.TrimSuffix(paths[0], ".pack") + ".idx")
		if err != nil || err2 != nil {
			f.Fatal(err, err2)
		}
		f.Add(text, index)
	}
	f.Fuzz(func(t *testing.T, text, index []byte) {
		p, err := readPack(bytes.NewReader(text), int64(len(text)), index)
		if err != nil {
			return
		}
		roots, err := p.families()
		u := &unpacker{pack: p, left: func(*packed) {}, whole: func(_ *packed, text []byte) error {
			if len(text) > maxObject {
				t.Errorf("an object of %d bytes", len(text))
			}
			return nil
		}}
		for _, r := range roots { // one after the other: what is done is the same each time
			if err == nil {
				err = u.root(r)
			}
		}
	})
}

func FuzzApplyDelta(f *testing.F) {
	f.Add([]byte("\x05\x03\x03abc"), []byte("12345"))
	f.Add([]byte("\x05\x05\x91\x00\x05"), []byte("12345"))
	f.Fuzz(func(t *testing.T, delta, base []byte) {
		size, err := deltaSize(delta, len(base))
		if err != nil || size > 1<<20 {
			return
		}
		if out, err := applyDelta(delta, base, nil); err == nil && int64(len(out)) != size {
			t.Errorf("%d bytes, not %d", len(out), size)
		}
	})
}
