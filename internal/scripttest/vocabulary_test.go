//go:build unix

package scripttest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// oddPhrases are not used in help, errors, documentation and comments, by what to write
// instead: each thing has one name, in plain English.
var oddPhrases = map[string]string{
	"revoke, end, expire":             `ends? (a|the|this|its|each|these|such)( old| new)? keys?|(is|are|was) over|dead|kills? (a|the) (key|login|token)s?`,
	"replacement, new key":            `successors?|(put )?in (its|their) place`,
	"deliver":                         `brings?|brought|(go|goes|went) (to|into) a place|arrives? (some|any|no|every)where`,
	"fix, repair":                     `mend|mends|mended|mending`,
	"skip":                            `(leave|leaves|left) (it |them |this |that )?(alone|as (it|they) (is|are|was|were))|pass(es|ed)? over`,
	"override, take precedence":       `(go|goes|went) before`,
	"store":                           `(keep|keeps|kept|keeping) (its |the |a |your |no |only )?(files?|keys?|logins?|secrets?|tokens?|records?|passwords?|credentials?|hash|hashes|times)|(is|are|was|be) kept|keepers?|(lie|lies|lay|stand|stands|stood) (in|beside|there|below|behind)|held by`,
	"print, log, report":              `tell|tells|told|telling|(say|says|said) (of|which|where|what|why|how)|(speak|speaks|spoken) of`,
	"confirm, interactive":            `(a person's|said) yes|(nobody|no one) to ask`,
	"only":                            `alone`,
	"invalid X, X is not a Y":         `is no [a-z]+|are no [a-z]+`,
	"select, match":                   `(is|are|was|were) meant`,
	"user, caller, client":            `who asks|somebody|nobody|whoever|whomever|strangers?`,
	"must be in the future":           `time to come`,
	"require, need":                   `wants?|(is|are) wanted`,
	"return, respond":                 `(give|gives|given) out|answers? (comes?|came)|(is|are) had|had with`,
	"next to":                         `beside|sidecar`,
	"unfinished, interrupted, resume": `stopped on the way|cut short|(take|takes|taken|took) up`,
	"do":                              `(see|sees) to`,
}

// ordinaryPhrases contain such a word with another meaning.
var ordinaryPhrases = []string{
	`json:"successor`, // scripts read it
	`(there|here) (is|are) no [a-z]+`,
	`(is|are) no longer`,
	`(you|they) want`,
	`keeps? (logins alive|the tokens valid)`,
}

// vocabulary is a set of phrases that may be broken between lines.
func vocabulary(phrases []string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)(?:\b|^)(?:` + strings.ReplaceAll(strings.Join(phrases, "|"), " ", `\s+`) + `)(?:\b|$)`)
}

type vocabularyTest struct {
	odd, ordinary *regexp.Regexp
}

// check reports the odd phrases in a text that starts at a line of a file.
func (v *vocabularyTest) check(t *testing.T, path string, line int, text string, skip ...[]int) {
	t.Helper()
	skip = append(skip, v.ordinary.FindAllStringIndex(text, -1)...)
	for _, at := range v.odd.FindAllStringIndex(text, -1) {
		if !slices.ContainsFunc(skip, func(s []int) bool { return s[0] <= at[0] && at[1] <= s[1] }) {
			t.Errorf("%s:%d: %q", path, line+strings.Count(text[:at[0]], "\n"), text[at[0]:at[1]])
		}
	}
}

// TestVocabulary holds all text to oddPhrases.
func TestVocabulary(t *testing.T) {
	v := vocabularyTest{odd: vocabulary(slices.Sorted(maps.Values(oddPhrases))), ordinary: vocabulary(ordinaryPhrases)}
	t.Run("docs", func(t *testing.T) {
		quoted := regexp.MustCompile("(?s)```text.*?```|`[^`\n]*`")
		pages := docPages(t)
		for _, path := range []string{"CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"} {
			pages[path] = readAll(t, path)
		}
		for path, page := range pages {
			v.check(t, path, 1, page, quoted.FindAllStringIndex(page, -1)...)
		}
	})
	t.Run("help", func(t *testing.T) {
		paths, err := filepath.Glob(inRoot("testdata/golden/help/*.txt"))
		if err != nil || len(paths) < 50 {
			t.Fatal(paths, err)
		}
		for _, path := range paths {
			path = "testdata/golden/help/" + filepath.Base(path)
			v.check(t, path, 1, readAll(t, path))
		}
	})
	t.Run("strings", func(t *testing.T) {
		eachSource(t, func(path string, fset *token.FileSet, f *ast.File) {
			ast.Inspect(f, func(n ast.Node) bool {
				if text, ok := n.(*ast.BasicLit); ok && text.Kind == token.STRING {
					v.check(t, path, fset.Position(text.Pos()).Line, text.Value)
				}
				return true
			})
		})
	})
	t.Run("comments", func(t *testing.T) {
		eachSource(t, func(path string, fset *token.FileSet, f *ast.File) {
			for _, group := range f.Comments {
				v.check(t, path, fset.Position(group.Pos()).Line, group.Text())
			}
		})
	})
}

// eachSource parses the program's Go files, without tests and the packages for tests.
func eachSource(t *testing.T, do func(path string, fset *token.FileSet, f *ast.File)) {
	t.Helper()
	files := 0
	for _, folder := range []string{".", "cmd", "internal"} {
		err := filepath.WalkDir(inRoot(folder), func(path string, entry fs.DirEntry, err error) error {
			switch name := entry.Name(); {
			case err != nil:
				return err
			case entry.IsDir() && path != inRoot(folder) && (folder == "." || strings.HasSuffix(filepath.Base(path), "test") || name == "authserver"):
				return filepath.SkipDir
			case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
				return nil
			}
			files++
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
			if err == nil {
				relative, _ := filepath.Rel(root, path)
				do(relative, fset, f)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 200 {
		t.Errorf("only %d files were found", files)
	}
}
