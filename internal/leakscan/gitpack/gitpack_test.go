package gitpack

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

func open(path string) (*os.File, fs.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	return f, info, err
}

// git runs git in a folder and returns its output.
func git(t testing.TB, dir string, args ...string) []byte {
	t.Helper()
	c := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"}, args...)...)
	c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	out, err := c.Output()
	if err != nil {
		t.Fatalf("git %v: %v", args, err)
	}
	return out
}

// repository returns the objects folder of a repository with a file that changes a
// little with each commit, after git has packed it.
func repository(t testing.TB, pack ...string) string {
	t.Helper()
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	lines := strings.Split(strings.Repeat("some line of text that is not too short\n", 200), "\n")
	for i := range 8 {
		lines[17*i] = fmt.Sprint("line ", i)
		if err := os.WriteFile(dir+"/f", []byte(strings.Join(lines, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		git(t, dir, "add", ".")
		git(t, dir, "commit", "-q", "-m", fmt.Sprint("commit ", i))
	}
	git(t, dir, pack...)
	return dir + "/.git/objects"
}

func TestPacks_WalkVisitsEachObjectOnce(t *testing.T) {
	for name, pack := range map[string][]string{
		"deltas":        {"repack", "-q", "-a", "-d", "-f"},
		"deltas twice":  {"repack", "-q", "-a", "-f"},
		"bases by name": {"-c", "repack.useDeltaBaseOffset=false", "repack", "-q", "-a", "-d", "-f"},
		"no deltas":     {"repack", "-q", "-a", "-d", "-f", "--depth=0"},
	} {
		objects := repository(t, pack...)
		packs, err := Open(objects, open)
		if err != nil {
			t.Fatal(name, err)
		}
		defer packs.Close()
		var mu sync.Mutex
		got := make(map[string]string)
		large, err := packs.Walk(t.Context(), func(_, object string, text []byte) {
			mu.Lock()
			defer mu.Unlock()
			if _, twice := got[object]; twice {
				t.Errorf("%s: %s is visited twice", name, object)
			}
			got[object] = string(text)
		})
		if err != nil || len(large) > 0 {
			t.Errorf("%s: %v, %q are too large", name, err, large)
		}
		want := make(map[string]string)
		for line := range strings.Lines(string(git(t, objects, "cat-file", "--batch-all-objects", "--batch-check=%(objecttype) %(objectname)"))) {
			if kind, object, _ := strings.Cut(strings.TrimSpace(line), " "); kind != "tree" {
				want[object] = string(git(t, objects, "cat-file", kind, object))
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: %d objects, not the %d that git has", name, len(got), len(want))
		}
	}
}

func TestPacks_LooseIsWhatNoPackHas(t *testing.T) {
	objects := repository(t, "repack", "-q", "-a") // the loose ones are still there
	packs, err := Open(objects, open)
	if err != nil {
		t.Fatal(err)
	}
	defer packs.Close()
	if loose, err := packs.Loose(objects); err != nil || len(loose) > 0 {
		t.Errorf("%q, %v", loose, err)
	}
	added := strings.TrimSpace(string(git(t, filepath.Dir(objects), "hash-object", "-w", "description")))
	if loose, err := packs.Loose(objects); err != nil || !slices.Equal(loose, []string{added}) {
		t.Errorf("%q, not %s: %v", loose, added, err)
	}
}

func TestOpen_RefusesBorrowedObjects(t *testing.T) {
	objects := repository(t, "repack", "-q", "-a", "-d")
	if err := os.WriteFile(objects+"/info/alternates", []byte(t.TempDir()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(objects, open); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
}

// chain returns a pack of an object and a long chain of deltas that copy it.
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

// An object that is too large is reported with all that are made of it, and the others are
// still visited.
func TestUnpacker_SkipsWhatIsTooLarge(t *testing.T) {
	for name, test := range map[string]struct {
		change           func(p *pack)
		visited, skipped int
	}{
		"nothing":  {func(*pack) {}, 4, 0},
		"the root": {func(p *pack) { p.objects[0].size = maxObject + 1 }, 0, 4},
		"a delta":  {func(p *pack) { p.objects[2].size = maxObject + 1 }, 2, 2},
		"the end":  {func(p *pack) { p.objects[3].size = maxObject + 1 }, 3, 1},
	} {
		p := chain(t, maxKept-1<<13, 3)
		test.change(p)
		visited, skipped := 0, 0
		u := &unpacker{pack: p, skip: func(*packed) { skipped++ }, visit: func(*packed, []byte) error { visited++; return nil }}
		if err := u.root(0); err != nil || visited != test.visited || skipped != test.skipped {
			t.Errorf("%s: %d visited and %d skipped, not %d and %d: %v", name, visited, skipped, test.visited, test.skipped, err)
		}
	}
}

func TestPacks_WalkEndsWithItsContextAndErrors(t *testing.T) {
	packs := Packs{chain(t, maxKept-1<<13, 3)}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := packs.Walk(ctx, func(_, _ string, _ []byte) {}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	packs[0].objects[3].size++ // its delta is shorter
	if _, err := packs.Walk(t.Context(), func(_, _ string, _ []byte) {}); err == nil {
		t.Error("a damaged pack is no error")
	}
}

func TestReadIndex_RefusesOtherFormats(t *testing.T) {
	whole := append([]byte("\xfftOc\x00\x00\x00\x02"), make([]byte, 256*4+2*nameSize)...)
	for name, test := range map[string]struct {
		change func(index []byte) []byte
		fails  bool
	}{
		"an empty one":             {func(index []byte) []byte { return index }, false},
		"version 1":                {func(index []byte) []byte { index[0] = 0; return index }, true},
		"version 3":                {func(index []byte) []byte { index[7] = 3; return index }, true},
		"one cut off":              {func(index []byte) []byte { return index[:len(index)-1] }, true},
		"more objects than it has": {func(index []byte) []byte { index[8+255*4+3] = 1; return index }, true},
		"too many objects":         {func(index []byte) []byte { index[8+255*4] = 0xff; return index }, true},
	} {
		if err := new(pack).readIndex(test.change(bytes.Clone(whole))); errors.Is(err, ErrUnsupported) != test.fails {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOffset_OfLargePacks(t *testing.T) {
	p := &pack{
		offsets: []byte{0, 0, 1, 0, 0x80, 0, 0, 1, 0x80, 0, 0, 2},
		large:   []byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 5},
	}
	for i, want := range []int64{256, 2<<32 + 5, -1} {
		if got := p.offset(i); got != want {
			t.Errorf("%d: %d, not %d", i, got, want)
		}
	}
}

func TestApplyDelta(t *testing.T) {
	const base = "0123456789"
	for name, test := range map[string]struct{ delta, want string }{
		"insert":                 {"\x0a\x03\x03abc", "abc"},
		"copy":                   {"\x0a\x04\x91\x02\x04", "2345"},
		"copy the start":         {"\x0a\x02\x90\x02", "01"},
		"copy and insert":        {"\x0a\x05\x91\x08\x02\x03abc", "89abc"},
		"nothing":                {"\x0a\x00", ""},
		"another base":           {"\x0b\x03\x03abc", "error"},
		"no size":                {"\x0a", "error"},
		"an instruction of 0":    {"\x0a\x01\x00", "error"},
		"an insert cut off":      {"\x0a\x03\x03ab", "error"},
		"a copy cut off":         {"\x0a\x04\x91\x02", "error"},
		"a copy behind the base": {"\x0a\x04\x91\x08\x04", "error"},
		"too much":               {"\x0a\x02\x03abc", "error"},
		"too little":             {"\x0a\x04\x03abc", "error"},
	} {
		got := "error"
		if _, err := deltaSize([]byte(test.delta), len(base)); err == nil {
			if text, err := applyDelta([]byte(test.delta), []byte(base), nil); err == nil {
				got = string(text)
			}
		}
		if got != test.want {
			t.Errorf("%s: %q, not %q", name, got, test.want)
		}
	}
}

// A small pack of long chains takes no more memory than one of short ones.
func TestH62_LongChainsTakeNoMemory(t *testing.T) {
	const depth, size = 4 * maxLevels, maxKept - 1<<13
	seen := 0
	u := &unpacker{pack: chain(t, size, depth), skip: func(*packed) {}, visit: func(*packed, []byte) error { seen++; return nil }}
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

// Whatever a pack and its index contain, reading them ends in good time, and allocates no
// memory for what the pack only claims.
func FuzzPack(f *testing.F) {
	for _, byName := range []string{"true", "false"} {
		objects := repository(f, "-c", "repack.useDeltaBaseOffset="+byName, "repack", "-q", "-a", "-d", "-f")
		paths, _ := filepath.Glob(objects + "/pack/*.pack")
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
		roots, err := p.roots()
		u := &unpacker{pack: p, skip: func(*packed) {}, visit: func(_ *packed, text []byte) error {
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

// An index that claims to be huge is left to git, which maps the file.
func TestH62_HugeIndexIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pack-1.idx")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 1<<40)); err != nil {
		t.Skip(err)
	}
	if _, err := readIndexFile(path, open); !errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
}
