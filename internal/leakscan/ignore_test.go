package leakscan

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/apikey"
)

func TestIgnored(t *testing.T) {
	var ig Ignored
	err := ig.AddLines("# comment\n\ntestdata/\n*.golden\n/root.txt\ndocs/*/examples\nsrc/a:b.env:1OOivdDZfQCU\r\ngit/commit-message/c0ffee:1OOivdDZfQCU\n")
	if err != nil {
		t.Fatal(err)
	}
	parts := apikey.Parts{ID: "1OOivdDZfQCU"}
	for _, test := range []struct {
		f    Finding
		want bool
	}{
		{Finding{Kind: File, Path: "testdata/x"}, true},
		{Finding{Kind: File, Path: "a/testdata/b/c"}, true},
		{Finding{Kind: File, Path: "a/testdata2/x"}, false},
		{Finding{Kind: File, Path: "./a/x.golden"}, true},
		{Finding{Kind: File, Path: "x.golden.txt"}, false},
		{Finding{Kind: File, Path: "root.txt"}, true},
		{Finding{Kind: File, Path: "a/root.txt"}, false},
		{Finding{Kind: File, Path: "docs/en/examples/deep/x"}, true},
		{Finding{Kind: File, Path: "docs/examples"}, false},
		{Finding{Kind: File, Path: "src/a:b.env", Parts: parts, Line: 9}, true},
		{Finding{Kind: File, Path: "src/a:b.env", Parts: parts, Line: 9, Commit: "c0ffee"}, true},
		{Finding{Kind: File, Path: "src/other.env", Parts: parts}, false},
		{Finding{Kind: File, Path: "src/a:b.env"}, false},
		{Finding{Kind: CommitMessage, Commit: "c0ffee", Parts: parts}, true},
		{Finding{Kind: CommitMessage, Commit: "beef", Parts: parts}, false},
		{Finding{Kind: Stdin, Allowed: true}, true},
		{Finding{Kind: Stdin, Path: "testdata/x"}, false},
	} {
		if got := ig.Finding(&test.f); got != test.want {
			t.Errorf("%s: %t", test.f.Fingerprint(), got)
		}
	}
	for _, wrong := range []string{"[a", "!a", "a/**/b"} {
		if err := ig.AddLines("ok\n" + wrong); err == nil || !strings.HasPrefix(err.Error(), "line 2: ") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

// The names of the folders above the ignore file's hide no key.
func TestI83_IgnoredPathsAreBelowTheFolder(t *testing.T) {
	top := t.TempDir()
	ig := Ignored{Folder: filepath.Join(top, "build", "repo")}
	if err := ig.AddLines("build/\n" + filepath.Base(top) + "\n..\n"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"a.txt": false, "build/a.txt": true, "../build/a.txt": false, "../repo/a.txt": false,
		filepath.Join(ig.Folder, "a.txt"): false, filepath.Join(ig.Folder, "build", "a.txt"): true, filepath.Join(top, "build", "a.txt"): false,
	} {
		if got := ig.Path(path); got != want {
			t.Errorf("%s: %t", path, got)
		}
	}
}

func TestIgnored_Report(t *testing.T) {
	var ig Ignored
	f := Finding{Kind: File, Path: "a.env", Parts: apikey.Parts{ID: "1OOivdDZfQCU"}}
	report, err := json.Marshal([]any{map[string]any{"kind": f.Kind, "fingerprint": f.Fingerprint()}, map[string]any{"kind": "not scanned"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := ig.AddReport(report); err != nil || !ig.Finding(&f) || ig.Finding(&Finding{}) {
		t.Errorf("%v", err)
	}
	for _, wrong := range []string{"", "x", "{}", `[{"Fingerprint":"a:b:1","Secret":"x"}]`, `["a"]`} {
		if err := ig.AddReport([]byte(wrong)); !errors.Is(err, ErrBaseline) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

func TestScan_AllowedLines(t *testing.T) {
	k := key(t, "acme")
	s := scanner(t, "acme")
	for text, want := range map[string]bool{
		k:                           false,
		k + " # fob:allow":          true,
		k + "\r\n# fob:allow":       false,
		"# fob:allow\n" + k:         false,
		`"` + k + `", // fob:allow`: true,
	} {
		if got := scanned(t, s, text); len(got) != 1 || got[0].Allowed != want {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

// Only keys in added lines are found, whatever the repository's own configuration is.
func TestStaged_JudgesAddedLines(t *testing.T) {
	r := newRepository(t)
	old, added, moved := key(t, "acme"), key(t, "acme"), key(t, "acme")
	lines := []string{"1", old, "3", "4", "5", "6", "7", moved, "9"}
	paths := []string{"f", "a [b]*", "-- -e", "sub/é.txt"}
	for _, path := range paths {
		write(t, r.dir+"/"+path, strings.Join(lines, "\n"))
	}
	write(t, r.dir+"/utf16", encodeUTF16("x\n"+old+"\ny\n", 0, 1))
	r.git("add", ".")
	r.git("commit", "-q", "-m", "one")
	for name, value := range map[string]string{"diff.interHunkContext": "9", "diff.context": "9", "color.ui": "always", "diff.noprefix": "true", "diff.algorithm": "patience"} {
		r.git("config", name, value)
	}
	lines[2], lines[8] = "KEY="+added, "9 changed"
	for _, path := range paths {
		write(t, r.dir+"/"+path, strings.Join(lines, "\n"))
	}
	write(t, r.dir+"/utf16", encodeUTF16("x\n"+old+"\ny\n"+added+"\n", 0, 1))
	r.git("add", ".")
	for _, dir := range []string{r.dir, r.dir + "/sub"} {
		result, err := scanner(t, "acme").Staged(t.Context(), dir)
		if err != nil || len(result.Findings) != len(paths)+1 {
			t.Errorf("%v, %v", found(result), err)
		}
		for _, f := range result.Findings {
			if want := map[bool]int{true: 4, false: 3}[f.Path == "utf16"]; f.Key.Reveal() != added || f.Line != want {
				t.Errorf("%s:%d", f.Path, f.Line)
			}
		}
	}
	r.git("commit", "-q", "-m", "two")
	for i := range 5 {
		write(t, fmt.Sprintf("%s/f", r.dir), strings.Repeat("\n", i)+strings.Join(lines, "\n"))
		r.git("add", ".")
		if result, err := scanner(t, "acme").Staged(t.Context(), r.dir); err != nil || len(result.Findings) != 0 {
			t.Errorf("%d lines before: %v, %v", i, found(result), err)
		}
	}
}
