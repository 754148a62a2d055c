package leakscan

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/quick"

	"github.com/fobcli/fob/internal/apikey"
)

// key is a new key of a brand.
func key(t testing.TB, brand string) string {
	t.Helper()
	m, err := apikey.Mint(brand, "live")
	if err != nil {
		t.Fatal(err)
	}
	return m.Key.Reveal()
}

func scanner(t testing.TB, brands ...string) *Scanner {
	t.Helper()
	s, err := NewScanner(brands)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func scanned(t *testing.T, s *Scanner, text string) []Finding {
	t.Helper()
	var found []Finding
	buffer := make([]byte, min(chunkSize, len(text)+2*maxEncoded))
	if _, err := s.Scan(t.Context(), strings.NewReader(text), buffer, func(f Finding) { found = append(found, f) }); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestScan_Contexts(t *testing.T) {
	k, other := key(t, "acme"), key(t, "acme")
	s := scanner(t, "acme", "me")
	for text, want := range map[string]int{
		k:                            1,
		"API_KEY_" + k:               1,
		`"` + k + `"`:                1,
		"Bearer " + k + "\n":         1,
		k + "," + other:              2,
		k + " " + other:              2,
		k + other:                    2,
		k + "_x":                     1,
		k + "x":                      1,
		"x" + k:                      1,
		"9" + k + "9":                1,
		"é" + k + "é":                1,
		`{"log":"a\n` + k + `"}`:     1,
		`{"log":"a\t` + k + `\n"}`:   1,
		`{"url":"k\u003d` + k + `"}`: 1,
		"\x1b[31m" + k + "\x1b[0m":   1,
		"\x1b[1;31m" + k:             1,
		"?key%3D" + k + "%26b":       1,
		"?q=k=3D" + k:                1,
		k[:len(k)-1]:                 0,
		k[:len(k)-1] + "~":           0,
		key(t, "other"):              0,
		"acme_" + k:                  1,
		"acme_live_acme_live_" + k:   1,
		strings.Repeat("acme_", 100): 0,
		"\x00" + k + "\x00":          1,
		"a\x00_" + k:                 1,
	} {
		if got := scanned(t, s, text); len(got) != want {
			t.Errorf("%q: %d found, not %d", text, len(got), want)
		}
	}
}

// A key is found in its place, whatever is before and behind it.
func TestScan_AnyBytesAroundAKey(t *testing.T) {
	k := key(t, "acme")
	s := scanner(t, "acme", "other")
	check := func(before, behind []byte) bool {
		text := string(before) + k + string(behind)
		for _, f := range scanned(t, s, text) {
			if f.Key.Reveal() == k && f.Line == 1+bytes.Count(before, []byte{'\n'}) {
				return true
			}
		}
		t.Errorf("not found behind %q and before %q", before, behind)
		return false
	}
	for i := range 256 {
		check([]byte{byte(i)}, []byte{byte(i)})
		check([]byte{'_', byte(i)}, nil)
		check([]byte("acme_"+string(rune(i))), []byte("_acme_"))
	}
	if err := quick.Check(check, &quick.Config{MaxCount: 5000}); err != nil {
		t.Error(err)
	}
	for cut := range k { // part of a key
		check([]byte(k[:cut]), []byte(k[cut:]))
	}
}

// Other scanners find no key that fob does not.
func TestExpression_FindsTheSameKeys(t *testing.T) {
	k, other := key(t, "acme"), key(t, "acme")
	s := scanner(t, "acme")
	expression := regexp.MustCompile(Expression("acme")) //nolint:forbidigo // as in the rules
	for _, text := range []string{k, "API_KEY_" + k, k + "," + other, k + other, "x" + k, k + "x", `"` + k + `"`, `\n` + k, "%3D" + k, "\x1b[31m" + k} {
		var got []string
		for _, f := range scanned(t, s, text) {
			got = append(got, f.Key.Reveal())
		}
		if want := expression.FindAllString(text, -1); !slices.Equal(got, want) {
			t.Errorf("%q: %d found, not %d", text, len(got), len(want))
		}
	}
}

// Wherever a key stands in a long stream, and however that is read, it is found once,
// in its place.
func TestKeysAcrossChunks(t *testing.T) {
	k := key(t, "acme")
	s := scanner(t, "acme")
	for _, at := range []int{0, 1, chunkSize - 100, chunkSize - len(k) - 1, chunkSize - len(k), chunkSize - len(k)/2, chunkSize - 1, chunkSize, chunkSize + 1, 2*chunkSize - maxEncoded} {
		text := []byte(strings.Repeat("some text\n", 3*chunkSize/10))
		copy(text[at:], " "+k+" ")
		var found []Finding
		_, err := s.Scan(t.Context(), iotest.OneByteReader(bytes.NewReader(text[max(0, at-10):])), make([]byte, 2*maxEncoded), func(f Finding) { found = append(found, f) })
		if err != nil || len(found) != 1 || found[0].Key.Reveal() != k {
			t.Fatalf("small pieces, at %d: %d found, %v", at, len(found), err)
		}
		got := scanned(t, s, string(text))
		line := 1 + bytes.Count(text[:at+1], []byte{'\n'})
		column := at + 1 - bytes.LastIndexByte(text[:at+1], '\n')
		if len(got) != 1 || got[0].Line != line || got[0].Column != column {
			t.Errorf("at %d: %+v, not %d:%d", at, got, line, column)
		}
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	k := key(t, "acme")
	write(t, dir+"/a/b.txt", "\n x "+k)
	write(t, dir+"/.git/config", k)
	write(t, dir+"/archive.zip", k)
	if err := os.Symlink(dir+"/a/b.txt", dir+"/link"); err != nil {
		t.Fatal(err)
	}
	result, err := scanner(t, "acme").Files(t.Context(), []string{dir}, nil)
	if err != nil || len(result.Findings) != 1 || result.Findings[0].Path != dir+"/a/b.txt" || result.Findings[0].Line != 2 || result.Findings[0].Column != 4 || result.Files != 1 {
		t.Errorf("%+v, %v", result, err)
	}
}

// repository is a git repository with a history.
type repository struct {
	t    testing.TB
	dir  string
	keys []string // that growing wrote to it
}

func (r repository) git(args ...string) string {
	r.t.Helper()
	c := exec.Command("git", append([]string{"-C", r.dir, "-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"}, args...)...)
	c.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
	out, err := c.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func newRepository(t testing.TB) repository {
	r := repository{t: t, dir: t.TempDir()}
	r.git("init", "-q", "-b", "main")
	return r
}

func TestHistoryFindsWhatIsNoLongerThere(t *testing.T) {
	r := newRepository(t)
	gone, message, unreachable := key(t, "acme"), key(t, "acme"), key(t, "acme")
	write(t, r.dir+"/config/prod.env", "KEY="+gone+"\n")
	r.git("add", ".")
	r.git("commit", "-q", "-m", "first")
	r.git("rm", "-q", "config/prod.env")
	r.git("commit", "-q", "-m", "it was "+message)
	write(t, r.dir+"/x", unreachable)
	r.git("add", ".")
	r.git("reset", "-q", "--hard")
	result, err := scanner(t, "acme").History(t.Context(), r.dir, nil)
	if err != nil || len(result.Findings) != 3 {
		t.Fatalf("%+v, %v", result, err)
	}
	for _, f := range result.Findings {
		switch f.Key.Reveal() {
		case gone:
			if f.Kind != File || f.Path != "config/prod.env" || len(f.Commit) != 40 || f.Line != 1 || f.Column != 5 {
				t.Errorf("%+v", f)
			}
		case message, unreachable:
			if want := map[string]Kind{message: CommitMessage, unreachable: Blob}[f.Key.Reveal()]; f.Kind != want || f.Commit == "" || f.Path != "" {
				t.Errorf("%+v", f)
			}
		default:
			t.Errorf("%+v", f)
		}
	}
}

func TestStagedAndUnignored(t *testing.T) {
	r := newRepository(t)
	s := scanner(t, "acme")
	write(t, r.dir+"/.gitignore", "ignored\n")
	write(t, r.dir+"/ignored", key(t, "acme"))
	write(t, r.dir+"/a file", key(t, "acme"))
	staged, err := s.Staged(t.Context(), r.dir)
	if err != nil || len(staged.Findings) != 0 {
		t.Errorf("%+v, %v", staged, err)
	}
	r.git("add", "a file")
	write(t, r.dir+"/a file", "it was taken out of the file, and not of what is staged")
	if staged, err = s.Staged(t.Context(), r.dir); err != nil || len(staged.Findings) != 1 || staged.Findings[0].Path != "a file" {
		t.Errorf("%+v, %v", staged, err)
	}
	write(t, r.dir+"/other", key(t, "acme"))
	result, err := s.Unignored(t.Context(), r.dir, nil)
	if err != nil || len(result.Findings) != 1 || filepath.Base(result.Findings[0].Path) != "other" {
		t.Errorf("%+v, %v", result, err)
	}
	if _, err := s.History(t.Context(), t.TempDir(), nil); err == nil {
		t.Error("no repository is no error")
	}
}

// A repository's own configuration must not run anything.
func TestH62HostileRepository(t *testing.T) {
	r := newRepository(t)
	mark := t.TempDir() + "/ran"
	write(t, r.dir+"/f", "x "+key(t, "acme"))
	write(t, r.dir+"/.gitattributes", "* diff=evil filter=evil\n")
	r.git("add", ".")
	r.git("commit", "-q", "-m", "x")
	for _, setting := range []string{"core.fsmonitor", "diff.evil.textconv", "diff.evil.command", "diff.external", "core.pager", "core.sshCommand"} {
		r.git("config", setting, "touch "+mark)
	}
	write(t, r.dir+"/f", "y "+key(t, "acme"))
	s := scanner(t, "acme")
	for _, scan := range []func() (Result, error){
		func() (Result, error) { return s.History(t.Context(), r.dir, nil) },
		func() (Result, error) { return s.Staged(t.Context(), r.dir) },
		func() (Result, error) { return s.Unignored(t.Context(), r.dir, nil) },
	} {
		if _, err := scan(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the repository ran a program")
	}
}

// What a clone lacks would be fetched by whatever program its configuration names, and
// signatures shown by another.
func TestH62HostileRepositoryFetchesAndVerifiesNothing(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	r := newRepository(t)
	mark := t.TempDir() + "/ran"
	program := t.TempDir() + "/program"
	write(t, program, "#!/bin/sh\ntouch "+mark+"\n")
	if err := os.Chmod(program, 0o700); err != nil {
		t.Fatal(err)
	}
	r.git("commit", "-q", "--allow-empty", "-m", "first")
	write(t, r.dir+"/f", "x "+key(t, "acme"))
	r.git("add", "f")
	tree := r.git("write-tree")
	write(t, r.dir+"/commit", "tree "+tree+"\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\ngpgsig -----BEGIN PGP SIGNATURE-----\n x\n -----END PGP SIGNATURE-----\n\nsigned\n")
	r.git("update-ref", "refs/heads/signed", r.git("hash-object", "-t", "commit", "-w", "commit"))
	for name, value := range map[string]string{
		"log.showSignature": "true", "gpg.program": program, "core.sshCommand": program, "remote.origin.url": "ext::" + program, "remote.origin.promisor": "true",
		"protocol.allow": "always", "protocol.ext.allow": "always", "extensions.partialClone": "origin", "core.repositoryFormatVersion": "1",
	} {
		r.git("config", name, value)
	}
	s := scanner(t, "acme")
	if result, err := s.History(t.Context(), r.dir, nil); err != nil || len(result.Findings) != 1 || result.Findings[0].Path != "f" {
		t.Errorf("%+v, %v", result, err)
	}
	blob := r.git("rev-parse", ":f")
	if err := os.Remove(r.dir + "/.git/objects/" + blob[:2] + "/" + blob[2:]); err != nil {
		t.Fatal(err)
	}
	if result, err := s.Staged(t.Context(), r.dir); err == nil && len(result.Unread) != 1 {
		t.Errorf("what is missing is not told of: %+v", result)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the repository ran a program")
	}
}

// A hook's variables name the repository of the hook, not the one that is asked about.
func TestANamedRepositoryIsTheOneThatIsScanned(t *testing.T) {
	named, other := newRepository(t), newRepository(t)
	write(t, named.dir+"/f", key(t, "acme"))
	named.git("add", "f")
	named.git("commit", "-q", "-m", "x")
	t.Setenv("GIT_DIR", other.dir+"/.git")
	t.Setenv("GIT_INDEX_FILE", other.dir+"/.git/index")
	s := scanner(t, "acme")
	if result, err := s.History(t.Context(), named.dir, nil); err != nil || len(result.Findings) != 1 {
		t.Errorf("named: %+v, %v", result, err)
	}
	if result, err := s.History(t.Context(), "", nil); err != nil || len(result.Findings) != 0 {
		t.Errorf("the hook's own: %+v, %v", result, err)
	}
}

func TestStagedUnderOddNames(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems do not take all of these names")
	}
	r := newRepository(t)
	names := []string{"a\nb", "0:c", ":d", "-e", " f", "\"g\"", "h\xff", "HEAD", "*"}
	for _, name := range names {
		write(t, r.dir+"/"+name, key(t, "acme"))
	}
	r.git("add", "--all")
	result, err := scanner(t, "acme").Staged(t.Context(), r.dir)
	if err != nil || len(result.Findings) != len(names) || len(result.Unread) > 0 {
		t.Errorf("%d found, %q skipped, %v", len(result.Findings), result.Unread, err)
	}
	for _, f := range result.Findings {
		if !slices.Contains(names, f.Path) {
			t.Errorf("found in %q", f.Path)
		}
	}
	r.git("commit", "-q", "-m", "x")
	if result, err := scanner(t, "acme").History(t.Context(), r.dir, nil); err != nil || len(result.Findings) != len(names) || !slices.Contains(names, result.Findings[0].Path) {
		t.Errorf("%+v, %v", result, err)
	}
}

// A merge may bring in what neither side has.
func TestHistoryNamesTheMerge(t *testing.T) {
	r := newRepository(t)
	r.git("commit", "-q", "--allow-empty", "-m", "first")
	r.git("checkout", "-q", "-b", "side")
	r.git("commit", "-q", "--allow-empty", "-m", "side")
	r.git("checkout", "-q", "main")
	r.git("merge", "-q", "--no-ff", "--no-commit", "side")
	write(t, r.dir+"/merged", key(t, "acme"))
	r.git("add", "merged")
	r.git("commit", "-q", "-m", "merge")
	result, err := scanner(t, "acme").History(t.Context(), r.dir, nil)
	if err != nil || len(result.Findings) != 1 || result.Findings[0].Path != "merged" || result.Findings[0].Commit != r.git("rev-parse", "HEAD") {
		t.Errorf("%+v, %v", result, err)
	}
}

func FuzzScan(f *testing.F) {
	f.Add([]byte("acme_live_1OOivdDZfQCU_bt6gO89NcUzYEW1pIKnvsU7LGdgMmGxA18PCV4"))
	f.Add([]byte("acme_acme_live_"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s := scanner(t, "acme")
		count := func(buffer []byte) (n int) {
			_, err := s.Scan(t.Context(), bytes.NewReader(text), buffer, func(found Finding) {
				n++
				if found.Line < 1 || found.Column < 1 {
					t.Errorf("%+v", found)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if whole, pieces := count(nil), count(make([]byte, 2*maxEncoded)); whole != pieces {
			t.Errorf("%d in one piece, %d in many", whole, pieces)
		}
	})
}
