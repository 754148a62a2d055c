package envfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/dotenv"
)

func TestCutReference(t *testing.T) {
	for text, want := range map[string][3]string{
		"":                               {"", "", ""},
		"plain fob:// text":              {"plain fob:// text", "", ""},
		"fob://other/work":               {"fob://other/work", "", ""},
		"fob://token/work":               {"", "token/work", ""},
		"Bearer fob://token/work!":       {"Bearer ", "token/work", "!"},
		"fob://token/work/path":          {"", "token/work", "/path"},
		"fob://token/":                   {"", "token/", ""},
		"x:fob://secret/db/prod@host/db": {"x:", "secret/db/prod", "@host/db"},
		"fob://secret/db/":               {"", "secret/db/", ""},
		"fob://secret/aB":                {"", "secret/a", "B"},
		"fob://secret/a fob://token/b":   {"", "secret/a", " fob://token/b"},
		"fob://token/b fob://secret/a":   {"", "token/b", " fob://secret/a"},
		"fob://fob://secret/a":           {"fob://", "secret/a", ""},
	} {
		before, reference, behind := CutReference(text)
		if got := [3]string{before, reference, behind}; got != want {
			t.Errorf("%q: %q, not %q", text, got, want)
		}
	}
}

func TestWhatIsNoReference(t *testing.T) {
	for _, text := range []string{"", "work", "token/", "secret/", "token/a/b", "secret/../x", "secret/a/", "key/x", "/secret/a", "secret/A"} {
		if config.CheckReference(text) == nil {
			t.Errorf("%q was taken", text)
		}
	}
	for _, text := range []string{"token/work", "secret/a", "secret/a/b/c/d"} {
		if err := config.CheckReference(text); err != nil {
			t.Error(err)
		}
	}
}

func TestWrongReference(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "",
		"plain":                               "",
		"fob://token/work":                    "",
		"x:fob://secret/db/prod@host/db":      "",
		"fob://secret/a fob://token/b":        "",
		"fob://tokn/work":                     "fob://tokn/work",
		"FOB fob://Token/work!":               "fob://Token/work",
		"fob://token/work fob://secrets/a b":  "fob://secrets/a",
		"x:fob://secret/a:fob://y:hidden@z":   "fob://y",
		"fob://token/":                        "fob://token/",
		"fob://secret/a/":                     "fob://secret/a/",
		"fob://":                              "fob://",
		"fob://fob://secret/a":                "fob://",
		"postgres://u:fob://sekret/db@h/base": "fob://sekret/db",
	} {
		if got := wrongReference(text); got != want {
			t.Errorf("%q: %q, not %q", text, got, want)
		}
	}
}

// An approval is of a path and of which variable gets which credential: any change of
// these asks again, and no other does.
func TestI80_ApprovalIsOfPathAndReferences(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, ".env")
	approvals := Approvals{Dir: filepath.Join(dir, "data", "env-files")}
	read := func(path, text string) *File {
		t.Helper()
		if text != "" {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		f, err := Read(path)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	allowed := func(f *File) bool {
		t.Helper()
		ok, err := approvals.Has(f)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	const text = "A=fob://secret/a\nB='x fob://token/work fob://secret/b/c'\n"
	f := read(path, text)
	if want := []string{"A=secret/a", "B=secret/b/c", "B=token/work"}; !slices.Equal(f.Uses(), want) {
		t.Errorf("%q, not %q", f.Uses(), want)
	}
	if allowed(f) {
		t.Error("allowed before it was asked for")
	}
	if err := approvals.Add(f); err != nil {
		t.Fatal(err)
	}
	for _, same := range []string{text, "# new\nC=plain\nexport B=fob://secret/b/c,fob://token/work\n\nA=\"y/fob://secret/a:5\"\n", text + "A=fob://secret/a\n"} {
		if !allowed(read(path, same)) {
			t.Errorf("asks again for %q", same)
		}
	}
	for _, other := range []string{
		"A=fob://secret/a\n", text + "C=fob://secret/a\n", strings.ReplaceAll(text, "token/work", "token/home"), strings.ReplaceAll(text, "A=", "AA="),
		"B=fob://secret/a\nA='x fob://token/work fob://secret/b/c'\n",
	} {
		if allowed(read(path, other)) {
			t.Errorf("allows %q", other)
		}
	}
	link, linkedDir := filepath.Join(dir, "link"), filepath.Join(dir, "folder")
	if err := errors.Join(os.Symlink(path, link), os.Symlink(dir, linkedDir)); err != nil {
		t.Fatal(err)
	}
	read(path, text)
	t.Chdir(dir)
	if !allowed(read(".env", "")) || !allowed(read(filepath.Join("data", "..", ".env"), "")) {
		t.Error("the same path asks again in another spelling")
	}
	if allowed(read(link, "")) || allowed(read(filepath.Join(linkedDir, ".env"), "")) {
		t.Error("a link borrows the approval of what it leads to")
	}
	if err := approvals.Add(read(link, "")); err != nil || !allowed(read(link, "")) {
		t.Error("a link cannot be allowed itself:", err)
	}
	if allowed(read(filepath.Join(dir, "copy"), text)) {
		t.Error("a copy elsewhere is allowed")
	}
	moved := filepath.Join(dir, "moved")
	if err := errors.Join(os.WriteFile(moved, []byte(text), 0o600), os.Remove(link), os.Symlink(moved, link)); err != nil {
		t.Fatal(err)
	}
	if allowed(read(link, "")) {
		t.Error("a link that leads elsewhere is allowed")
	}
}

func TestI80_FileHasALimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, maxFile+1)); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Error("it was read to its end:", err)
	}
}

// What another user could have written allows nothing.
func TestI80_ApprovalsArePrivate(t *testing.T) {
	dir := t.TempDir()
	f := &File{Path: filepath.Join(dir, ".env"), Target: filepath.Join(dir, ".env"), Variables: []Variable{{"A", "fob://secret/a"}}}
	approvals := Approvals{Dir: filepath.Join(dir, "env-files")}
	if err := approvals.Add(f); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(approvals.Dir)
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	stored := filepath.Join(approvals.Dir, entries[0].Name())
	if info, err := os.Stat(stored); err != nil || info.Mode() != 0o600 {
		t.Error(info.Mode(), err)
	}
	for what, spoil := range map[string]func() error{
		"loose mode": func() error { return os.Chmod(stored, 0o666) },
		"link": func() error {
			return errors.Join(os.Rename(stored, stored+".moved"), os.Symlink(stored+".moved", stored))
		},
		"other text": func() error {
			return errors.Join(os.Remove(stored), os.WriteFile(stored, []byte("x"), 0o600))
		},
	} {
		if err := errors.Join(os.RemoveAll(approvals.Dir), approvals.Add(f), spoil()); err != nil {
			t.Fatal(err)
		}
		if ok, err := approvals.Has(f); ok || what != "other text" && !errors.Is(err, atomicfile.ErrUnsafe) && !errors.As(err, new(*fs.PathError)) {
			t.Errorf("%s: %t, %v", what, ok, err)
		}
	}
}

func TestI80_AllowListIsByFolder(t *testing.T) {
	dir := t.TempDir()
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "srv", "shop", "deep"), 0o700), os.Mkdir(filepath.Join(dir, "srv", "shopping"), 0o700),
		os.Symlink(filepath.Join(dir, "srv", "shop"), filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	at := func(path string, references ...string) *File {
		f := &File{Path: filepath.Join(dir, path), Target: filepath.Join(dir, path)}
		for _, reference := range references {
			f.Variables = append(f.Variables, Variable{"V", Scheme + reference})
		}
		return f
	}
	list := map[string][]string{
		filepath.Join(dir, "srv", "shop"): {"secret/a", "token/work"}, filepath.Join(dir, "srv"): {"secret/b"},
		filepath.Join(dir, "missing"): {"secret/z"},
	}
	for _, test := range []struct {
		file    *File
		allowed bool
	}{
		{at("srv/shop/.env", "secret/a"), true},
		{at("srv/shop/deep/.env", "secret/a", "token/work", "secret/b"), true},
		{at("srv/shop/.env", "secret/a", "secret/c"), false},
		{at("srv/shop/.env", "secret/a/prod"), false},
		{at("srv/shopping/.env", "secret/a"), false},
		{at("srv/.env", "secret/a"), false},
		{at("srv/.env", "secret/b"), true},
		{at("missing/.env", "secret/z"), false},
		{at(".env", "secret/b"), false},
		{at("srv/..env", "secret/b"), true},
	} {
		if got := test.file.NotAllowedBy(list); (len(got) == 0) != test.allowed {
			t.Errorf("%s, %q: %q", test.file.Path, test.file.Uses(), got)
		}
	}
	if len(at("srv/shop/.env", "secret/a").NotAllowedBy(map[string][]string{filepath.Join(dir, "link"): {"secret/a"}})) > 0 {
		t.Error("a folder that is named by a link")
	}
	linked := at("link/.env", "secret/a")
	linked.Target = filepath.Join(dir, "srv", "shop", ".env")
	if len(linked.NotAllowedBy(map[string][]string{filepath.Join(dir, "link"): {"secret/a"}})) > 0 {
		t.Error("a path that is named by the same link")
	}
	if len(linked.NotAllowedBy(list)) == 0 {
		t.Error("a link from outside borrows what the folder is allowed")
	}
	out := at("srv/shop/.env", "secret/a")
	if out.Target = filepath.Join(dir, "srv", ".env"); len(out.NotAllowedBy(list)) == 0 {
		t.Error("a link to the outside is allowed")
	}
	if at(".env", "secret/a").NotAllowedBy(nil) == nil {
		t.Error("no list allows it")
	}
}

// No text makes the reader fail in another way than by an error; what it finds can be put
// together again, and what stands around references changes nothing of what is used.
func FuzzEnvFile(f *testing.F) {
	f.Add("A=b\n# comment\nexport URL='postgres://u:fob://secret/db/prod@h/d'\n")
	f.Add("A=fob://token/work fob://secret/a\r\nB=\"fob://secret/b/c\"\nA=fob://token/x")
	f.Add("A=fob://tokn/work\nB=\x00\n=\n1=x\n")
	f.Add("A=fob://fob://token/a/fob://secret/b/\nA=\"")
	f.Fuzz(func(t *testing.T, text string) {
		variables, err := Parse("f", text)
		if err != nil {
			return
		}
		file := &File{Path: "/f", Variables: variables}
		around := &File{Path: "/f"}
		for _, v := range variables {
			if !dotenv.IsName(v.Name) || strings.Contains(v.Value, "\x00") {
				t.Fatalf("%q", v)
			}
			var whole strings.Builder
			for rest := v.Value; rest != ""; {
				before, reference, behind := CutReference(rest)
				if strings.Contains(before, Scheme) {
					t.Fatalf("%q: %q is no reference, and looks like one", v.Value, before)
				}
				whole.WriteString(before)
				if reference != "" {
					if err := config.CheckReference(reference); err != nil || !slices.Contains(file.Uses(), v.Name+"="+reference) {
						t.Fatalf("%q: %q is not in %q, %v", v.Value, reference, file.Uses(), err)
					}
					whole.WriteString(Scheme + reference)
				}
				rest = behind
			}
			if whole.String() != v.Value {
				t.Fatalf("%q became %q", v.Value, whole.String())
			}
			around.Variables = append(around.Variables, Variable{v.Name, "before " + v.Value + " behind"})
		}
		if !slices.Equal(file.Uses(), around.Uses()) {
			t.Fatalf("%q became %q", file.Uses(), around.Uses())
		}
	})
}
