//go:build unix

package scripttest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestStandards: the tests, scripts and files that docs/standards.md names exist, and each
// row names a test, or says that its requirement is not met or does not apply.
func TestStandards(t *testing.T) {
	before, rest, _ := strings.Cut(readAll(t, standardsPage), flowsBegin)
	_, after, _ := strings.Cut(rest, flowsEnd) // TestFlowTable checks what is in between
	page := before + after
	tests := testNames(t)
	var requirements, proofs int
	for line := range strings.Lines(page) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		isRow := len(cells) == 6 && strings.Trim(cells[1], "- §") != ""
		if strings.HasPrefix(line, "|") && !isRow && strings.Trim(cells[1], "- §") != "" {
			t.Errorf("not four columns: %s", line)
		}
		named := 0
		for _, word := range regexp.MustCompile("`([^` ]+)`").FindAllStringSubmatch(line, -1) {
			switch name := word[1]; {
			case regexp.MustCompile(`^(Test|Fuzz)\w+$`).MatchString(name):
				named++
				if !tests[name] {
					t.Errorf("there is no test %s", name)
				}
			case regexp.MustCompile(`^\w+\.txtar$`).MatchString(name):
				named++
				mustExist(t, filepath.Join("testdata/script", name))
			case regexp.MustCompile(`^(internal|cmd|testdata)/`).MatchString(name):
				mustExist(t, name)
			}
		}
		if !isRow {
			continue
		}
		requirements++
		proofs += named
		if named == 0 && !regexp.MustCompile(`\*n/a\*|\*\*partly\*\*|\*\*not met\*\*`).MatchString(cells[3]) {
			t.Errorf("a requirement without a test: %s", line)
		}
	}
	if requirements < 80 || proofs < requirements {
		t.Errorf("only %d requirements with %d tests were found", requirements, proofs)
	}
}

func mustExist(t *testing.T, name string) {
	t.Helper()
	if _, err := os.Stat(inRoot(name)); err != nil {
		t.Error(err)
	}
}

// testNames are the tests and fuzz targets of the repository, the end-to-end ones included.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == ".git"):
			return filepath.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		for _, match := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllStringSubmatch(readAll(t, path[len(root)+1:]), -1) {
			names[match[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
