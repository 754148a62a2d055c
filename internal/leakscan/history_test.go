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

// byGit is what git alone finds.
func byGit(t *testing.T, s *Scanner, dir string) Result {
	t.Helper()
	var c collector
	names, err := listObjects(t.Context(), dir)
	if err == nil {
		err = s.scanNamed(t.Context(), dir, names, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := findOrigins(t.Context(), dir, &c.result); err != nil {
		t.Fatal(err)
	}
	return c.result
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
		rest, err := s.scanPacks(t.Context(), r.dir, new(collector))
		if err != nil || strings.HasPrefix(name, "one") && len(rest) > 0 {
			t.Errorf("%s: %v, and %d are left for git", name, err, len(rest))
		}
		got, err := s.History(t.Context(), r.dir, nil)
		if err != nil || got.Files != want.Files || got.Bytes != want.Bytes || !slices.Equal(found(got), found(want)) || len(got.Findings) < 12 {
			t.Errorf("%s: %v, %d keys in %d objects of %d bytes, and git has %d in %d of %d", name, err, len(got.Findings), got.Files, got.Bytes, len(want.Findings), want.Files, want.Bytes)
		}
	}
}

// What is not as most repositories are is git's to read, and what is too large.
func TestPacksThatAreGits(t *testing.T) {
	s := scanner(t, "acme")
	large := newRepository(t)
	write(t, large.dir+"/large", strings.Repeat("x\n", 8<<20)+key(t, "acme"))
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
		if rest, err := s.scanPacks(t.Context(), c.r.dir, new(collector)); (err != nil) != (c.left < 0) || err == nil && len(rest) != c.left {
			t.Errorf("%s: %v, %d", name, err, len(rest))
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
		if err == nil && len(got.Unread) == 0 && len(got.Findings) < 9 {
			t.Errorf("%d keys were found, and nothing was said", len(got.Findings))
		}
	}
}
