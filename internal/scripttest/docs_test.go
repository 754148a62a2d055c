//go:build unix

package scripttest

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// notRun lists the blocks of the documentation that no test runs: they are marked by
// <!-- not run: REASON --> on the line before the block. A new one must be added here.
var notRun = map[string]int{
	"README.md: installs the latest release": 1,
	"README.md: needs a release on GitHub":   1,
	"README.md: runs these tests itself":     1,
}

// docPages returns the README and the pages in docs by path.
func docPages(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob(inRoot("docs/*.md"))
	if err != nil || len(paths) < 5 {
		t.Fatal(paths, err)
	}
	pages := map[string]string{}
	pages["README.md"] = readAll(t, "README.md")
	for _, path := range paths {
		path = "docs/" + filepath.Base(path)
		pages[path] = readAll(t, path)
	}
	return pages
}

type docBlock struct{ notRun, language, text string }

func docBlocks(page string) []docBlock {
	var blocks []docBlock
	for _, m := range regexp.MustCompile("(?ms)^(?:<!-- not run: ([^\n]+) -->\n)?```([^\n]*)\n(.*?)^```$").FindAllStringSubmatch(page, -1) {
		blocks = append(blocks, docBlock{m[1], m[2], m[3]})
	}
	return blocks
}

// TestDocs runs every command of the README and of docs/*.md on a machine of the page's
// own: shell blocks as scripts in order, with the test issuer in place of other servers;
// commands in running text only as far as their help, which checks names and flags. A
// block of text quotes the output of the block before it. Configurations are parsed, and
// those that begin with a table are added to the machine's own.
func TestDocs(t *testing.T) {
	skipped := map[string]int{}
	for path, page := range docPages(t) {
		blocks := docBlocks(page)
		for _, block := range blocks {
			if block.notRun != "" {
				skipped[path+": "+block.notRun]++
			}
		}
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			m := newDocMachine(t, path)
			for _, block := range blocks {
				if block.notRun == "" {
					m.check(t, block)
				} else {
					m.checkNames(t, block.text)
				}
			}
			m.checkProse(t, page)
		})
	}
	if !maps.Equal(skipped, notRun) {
		t.Errorf("blocks that are not run: %v, expected %v", skipped, notRun)
	}
}

// TestDocsKeepSecretsOutOfArguments: every process on the machine can read the arguments
// of a command.
func TestDocsKeepSecretsOutOfArguments(t *testing.T) {
	for path, page := range docPages(t) {
		for line := range strings.Lines(page) {
			if strings.Contains(line, "$(fob") && !regexp.MustCompile(`\b[A-Z]+=\$\(fob [^)]*\) \|\| exit|eval "\$\(fob ci export`).MatchString(line) {
				t.Errorf("%s: a secret in a command's arguments: %s", path, line)
			}
		}
	}
}

// TestDocsLinks: each link leads to a file and a heading that exist.
func TestDocsLinks(t *testing.T) {
	links, pages := 0, docPages(t)
	for _, path := range []string{"CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"} {
		pages[path] = readAll(t, path)
	}
	for path, page := range pages {
		page = regexp.MustCompile("(?s)```.*?```|`[^`\n]*`").ReplaceAllString(page, "")
		for _, link := range regexp.MustCompile(`(?:src|srcset)="([^"]+)"|\]\(([^):]*)\)`).FindAllStringSubmatch(page, -1) {
			links++
			target, heading, _ := strings.Cut(link[1]+link[2], "#")
			if target == "" {
				target = filepath.Base(path)
			}
			target = filepath.Join(filepath.Dir(path), target)
			info, err := os.Stat(inRoot(target))
			if err != nil || !info.IsDir() && info.Size() > 200_000 {
				t.Errorf("%s: %s: %v", path, link[0], err)
			} else if heading != "" && !slices.Contains(docHeadings(readAll(t, target)), heading) {
				t.Errorf("%s: %s: no such heading", path, link[0])
			}
		}
	}
	if links < 40 {
		t.Errorf("only %d links were found", links)
	}
	for path := range pages {
		if name := filepath.Base(path); filepath.Dir(path) == "docs" && !strings.Contains(pages["README.md"], "(docs/"+name+")") {
			t.Errorf("README.md does not link to %s", path)
		}
	}
}

// docHeadings returns the anchors that GitHub makes of a page's headings.
func docHeadings(page string) []string {
	var anchors []string
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(page, -1) {
		plain := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		anchors = append(anchors, strings.ReplaceAll(plain, " ", "-"))
	}
	return anchors
}

// TestGuarantees: the tests and scripts that docs/guarantees.md names exist, and each
// promise names one, or a target of make.
func TestGuarantees(t *testing.T) {
	tests, promises := testNames(t), 0
	for line := range strings.Lines(readAll(t, "docs/guarantees.md")) {
		promise, proof, isRow := strings.Cut(strings.TrimPrefix(line, "| "), " | ")
		if !isRow || promise == "promise" {
			continue
		}
		promises++
		if !regexp.MustCompile("`(make |(Test|Fuzz|[A-Z]\\d\\d|Audit)\\w*…?`|\\w+\\.txtar`)").MatchString(proof) {
			t.Errorf("a promise without a test: %s", line)
		}
		for _, name := range regexp.MustCompile("`((?:Test|Fuzz)\\w+)(…?)`").FindAllStringSubmatch(proof, -1) {
			exists := tests[name[1]]
			for test := range tests {
				exists = exists || name[2] != "" && strings.HasPrefix(test, name[1])
			}
			if !exists {
				t.Errorf("there is no test %s", name[0])
			}
		}
		for _, name := range regexp.MustCompile("`(\\w+\\.txtar)`").FindAllStringSubmatch(proof, -1) {
			if _, err := os.Stat(inRoot("testdata/script/" + name[1])); err != nil {
				mustExist(t, "testdata/script/key/"+name[1])
			}
		}
	}
	if promises < 50 {
		t.Errorf("only %d promises were found", promises)
	}
}

// TestContributing: the files that CONTRIBUTING.md names exist, and have the functions that
// it says are in them.
func TestContributing(t *testing.T) {
	page, functions := readAll(t, "CONTRIBUTING.md"), 0
	for _, file := range regexp.MustCompile("`((?:cmd|internal|testdata)/[a-z_/]+[a-z](?:\\.go)?)`").FindAllStringSubmatch(page, -1) {
		mustExist(t, file[1])
	}
	for _, m := range regexp.MustCompile("`(\\w+)` in `([a-z_/]+\\.go)`").FindAllStringSubmatch(page, -1) {
		functions++
		if !regexp.MustCompile(`(?m)^(func (\([^)]*\) )?|type )` + m[1] + `\b`).MatchString(readAll(t, m[2])) {
			t.Errorf("%s is not in %s", m[1], m[2])
		}
	}
	if functions < 14 {
		t.Errorf("only %d functions were found", functions)
	}
}

func TestDocsSizes(t *testing.T) {
	for path, page := range docPages(t) {
		most := 250
		if path == "README.md" {
			most = 170
		}
		if lines := strings.Count(page, "\n"); lines > most {
			t.Errorf("%s has %d lines, more than %d", path, lines, most)
		}
	}
	if size := len(readAll(t, "CONTRIBUTING.md")); size > 6<<10 {
		t.Errorf("CONTRIBUTING.md has %d bytes", size)
	}
}
