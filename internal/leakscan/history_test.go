package leakscan

import (
	"bytes"
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
			r.keys = append(r.keys, key(t, "acme"))
			lines[random.IntN(len(lines))] = "KEY=" + r.keys[len(r.keys)-1]
		}
		write(t, filepath.Join(r.dir, fmt.Sprint("f", i%3)), strings.Join(lines, "\n"))
		r.git("add", ".")
		r.git("commit", "-q", "-m", fmt.Sprint("commit ", i))
	}
	r.keys = append(r.keys, key(t, "acme"))
	r.git("tag", "-a", "v1", "-m", "with "+r.keys[len(r.keys)-1])
	return r
}

// However a repository is packed, all keys in all its objects are found.
func TestHistory_FindsEveryKey(t *testing.T) {
	s := scanner(t, "acme")
	for name, pack := range map[string]func(r repository){
		"loose":           func(repository) {},
		"one pack":        func(r repository) { r.git("repack", "-q", "-a", "-d", "-f", "--depth=50") },
		"twins":           func(r repository) { r.git("repack", "-q", "-a"); r.git("repack", "-q", "-a", "--depth=0", "-f") },
		"packs and loose": func(r repository) { r.git("repack", "-q"); write(t, r.dir+"/new", "new"); r.git("add", ".") },
		"unreachable ones": func(r repository) {
			r.git("reset", "-q", "--hard", "HEAD~20")
			r.git("tag", "-d", "v1")
			r.git("reflog", "expire", "--expire=now", "--all")
			r.git("repack", "-q", "-a", "-d", "-k")
		},
	} {
		r := growing(t, 60)
		want, err := s.History(t.Context(), r.dir, nil)
		if err != nil || len(r.keys) < 16 {
			t.Fatal(err, len(r.keys))
		}
		pack(r)
		got, err := s.History(t.Context(), r.dir, nil)
		if err != nil || got.Files < want.Files || !slices.Equal(found(got), found(want)) && name != "unreachable ones" {
			t.Errorf("%s: %v, %d keys in %d objects, and %d in %d before", name, err, len(got.Findings), got.Files, len(want.Findings), want.Files)
		}
		for _, key := range r.keys {
			if !slices.ContainsFunc(got.Findings, func(f Finding) bool { return f.Key.Reveal() == key }) {
				t.Errorf("%s: a key was not found", name)
			}
		}
	}
}

func TestHistory_UnusualRepositories(t *testing.T) {
	s := scanner(t, "acme")
	large := newRepository(t)
	write(t, large.dir+"/large", strings.Repeat("x\n", 8<<20)+key(t, "acme"))
	large.git("add", ".")
	large.git("commit", "-q", "-m", "large")
	large.git("repack", "-q", "-a", "-d")
	borrows := newRepository(t)
	write(t, borrows.dir+"/.git/objects/info/alternates", growing(t, 4).dir+"/.git/objects\n")
	newer := repository{t: t, dir: t.TempDir()}
	newer.git("init", "-q", "--object-format=sha256")
	write(t, newer.dir+"/f", key(t, "acme"))
	newer.git("add", ".")
	for name, c := range map[string]struct {
		r    repository
		keys int
	}{"a large object": {large, 1}, "alternates": {borrows, 5}, "SHA-256": {newer, 1}} {
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
		if err == nil && len(got.Unread) == 0 && len(got.Findings) < 9 {
			t.Errorf("%d keys were found, and nothing was said", len(got.Findings))
		}
	}
}
