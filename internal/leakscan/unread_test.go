package leakscan

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// addLFS adds a file of Git LFS, and its content if stored.
func (r repository) addLFS(path, content string, stored bool) {
	r.t.Helper()
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
	write(r.t, filepath.Join(r.dir, path), fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", sum, len(content)))
	if stored {
		write(r.t, filepath.Join(r.dir, ".git/lfs/objects", sum[:2], sum[2:4], sum), content)
	}
	r.git("add", path)
}

// scans are the ways to scan a repository.
func scans(t *testing.T, s *Scanner, dir string) map[string]func() (Result, error) {
	return map[string]func() (Result, error){
		"files":     func() (Result, error) { return s.Files(t.Context(), []string{dir}, nil) },
		"unignored": func() (Result, error) { return s.Unignored(t.Context(), dir, nil) },
		"staged":    func() (Result, error) { return s.Staged(t.Context(), dir) },
		"history":   func() (Result, error) { return s.History(t.Context(), dir, nil) },
	}
}

func unreadPaths(r Result) []string {
	var paths []string
	for _, u := range r.Unread {
		paths = append(paths, filepath.Base(u.Path)+": "+u.Err.Error())
	}
	slices.Sort(paths)
	return paths
}

func TestLFS(t *testing.T) {
	r := newRepository(t)
	s := scanner(t, "acme")
	k := key(t, "acme")
	r.git("commit", "-q", "--allow-empty", "-m", "first")
	r.addLFS("stored.bin", strings.Repeat("x\n", chunkSize)+k, true)
	r.addLFS("missing.bin", "x", false)
	write(t, r.dir+"/near.txt", "version https://git-lfs.github.com/spec/v1\noid sha256:../../../etc/passwd\n")
	r.git("add", ".")
	check := func(name string, scan func() (Result, error)) {
		result, err := scan()
		if err != nil || len(result.Findings) != 1 || result.Findings[0].Kind != File || filepath.Base(result.Findings[0].Path) != "stored.bin" || result.Findings[0].Line != chunkSize+1 {
			t.Errorf("%s: %+v, %v", name, result.Findings, err)
		}
		if got := unreadPaths(result); !slices.Equal(got, []string{"missing.bin: " + ErrNoContent.Error()}) {
			t.Errorf("%s: unread %q", name, got)
		}
	}
	for name, scan := range scans(t, s, r.dir) {
		if name != "history" { // in a commit, a file has its path
			check(name, scan)
		}
	}
	r.git("commit", "-q", "-m", "second")
	check("history", func() (Result, error) { return s.History(t.Context(), r.dir, nil) })
	r.git("repack", "-q", "-a", "-d")
	check("packed history", func() (Result, error) { return s.History(t.Context(), r.dir, nil) })
	second := t.TempDir() + "/second"
	r.git("worktree", "add", "-q", second)
	check("a second work tree", func() (Result, error) { return s.Files(t.Context(), []string{second}, nil) })
}

// clone is a clone with some options.
func (r repository) clone(args ...string) repository {
	r.t.Helper()
	r.git("config", "uploadpack.allowFilter", "true")
	c := repository{t: r.t, dir: r.t.TempDir()}
	if out, err := exec.Command("git", append(append([]string{"clone", "-q", "--no-checkout"}, args...), "file://"+r.dir, c.dir)...).CombinedOutput(); err != nil {
		r.t.Fatalf("%v\n%s", err, out)
	}
	return c
}

func TestHistory_OfIncompleteClones(t *testing.T) {
	r := newRepository(t)
	for i := range 3 {
		write(t, r.dir+"/f", fmt.Sprint(i))
		r.git("add", ".")
		r.git("commit", "-q", "-m", fmt.Sprint(i))
	}
	s := scanner(t, "acme")
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"whole":         {nil, ""},
		"shallow":       {[]string{"--depth=1"}, "a shallow clone: older commits are missing"},
		"without blobs": {[]string{"--filter=blob:none"}, "a partial clone: 3 objects are missing"},
		"without trees": {[]string{"--filter=tree:0"}, "a partial clone: 3 objects are missing"},
	} {
		c := r.clone(test.args...)
		result, err := s.History(t.Context(), c.dir, nil)
		got := ""
		for _, u := range result.Unread {
			got += u.Err.Error()
		}
		if err != nil || got != test.want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	// A partial clone may have everything.
	c := r.clone("--filter=blob:none")
	c.git("checkout", "-q", "main~1")
	c.git("checkout", "-q", "main~2")
	c.git("checkout", "-q", "main")
	if result, err := s.History(t.Context(), c.dir, nil); err != nil || len(result.Unread) != 0 {
		t.Errorf("filled: %+v, %v", result.Unread, err)
	}
}

func TestSubmodulesAreNamed(t *testing.T) {
	r, sub := newRepository(t), newRepository(t)
	sub.git("commit", "-q", "--allow-empty", "-m", "x")
	r.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", sub.dir, "a sub")
	s := scanner(t, "acme")
	check := func(scan func() (Result, error)) {
		t.Helper()
		if result, err := scan(); err != nil || !slices.Equal(result.Submodules, []string{"a sub"}) || len(result.Unread) != 0 {
			t.Errorf("%+v, %v", result, err)
		}
	}
	check(func() (Result, error) { return s.Staged(t.Context(), r.dir) })
	r.git("commit", "-q", "-m", "x")
	check(func() (Result, error) { return s.History(t.Context(), r.dir, nil) })
	check(func() (Result, error) { return s.History(t.Context(), filepath.Join(r.dir, "a sub", ".."), nil) })
}

// git may convert the line endings of a pointer, which git-lfs still takes for one: its missing
// content must not count as scanned.
func TestI84_PointerWithConvertedLines(t *testing.T) {
	name := strings.Repeat("0a", 32)
	text := "version https://git-lfs.github.com/spec/v1\noid sha256:" + name + "\nsize 12\n"
	for _, text := range []string{text, strings.ReplaceAll(text, "\n", "\r\n")} {
		if got := pointerTarget([]byte(text)); got != name {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// A key that begins on an unchanged line and is completed by an added one is new.
func TestI84_StagedEndOfAWrappedKey(t *testing.T) {
	r := newRepository(t)
	encoded := base64.StdEncoding.EncodeToString([]byte("user: x\nkey: " + key(t, "acme") + "\n"))
	write(t, filepath.Join(r.dir, "a"), encoded[:40]+"\n")
	r.git("add", "a")
	r.git("commit", "-q", "-m", "first")
	for text, want := range map[string]int{encoded[:40] + "\n" + encoded[40:80] + "\n" + encoded[80:] + "\n": 1, encoded[:40] + "\nother\n": 0} {
		write(t, filepath.Join(r.dir, "a"), text)
		r.git("add", "a")
		if result, err := scanner(t, "acme").Staged(t.Context(), r.dir); err != nil || len(result.Findings) != want {
			t.Errorf("%q: %+v, %v", text, result.Findings, err)
		}
	}
	write(t, filepath.Join(r.dir, "a"), encoded[:40]+"\n"+encoded[40:]+"\n")
	r.git("add", "a")
	r.git("commit", "-q", "-m", "second")
	write(t, filepath.Join(r.dir, "a"), encoded[:40]+"\n"+encoded[40:]+"\nmore\n")
	r.git("add", "a")
	if result, err := scanner(t, "acme").Staged(t.Context(), r.dir); err != nil || len(result.Findings) != 0 {
		t.Errorf("unchanged: %+v, %v", result.Findings, err)
	}
}
