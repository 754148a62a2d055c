package topic

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/config"
)

// Each variable of fob's that the code names is in the one table, and the other way round.
func TestEveryVariableIsInTheTable(t *testing.T) {
	known := map[string]bool{}
	for _, v := range app.Variables {
		known[v.Name] = false
	}
	for _, folder := range []string{"../../cmd", "../../internal"} {
		err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") || filepath.Base(path) == "variables.go" || strings.Contains(path, "registrytest") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				literal, ok := n.(*ast.BasicLit)
				if !ok || literal.Kind != token.STRING {
					return true
				}
				name, err := strconv.Unquote(literal.Value)
				if err != nil || len(name) <= len("FOB_") || !strings.HasPrefix(name, "FOB_") || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "" {
					return true
				}
				if _, ok := known[name]; !ok {
					t.Errorf("%s: %s is not in app.Variables", path, name)
				}
				known[name] = true
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, used := range known {
		if !used {
			t.Errorf("%s is in app.Variables, and nothing reads it", name)
		}
	}
	if !slices.IsSortedFunc(app.Variables, func(v, w app.EnvVariable) int { return strings.Compare(v.Name, w.Name) }) {
		t.Error("app.Variables is not in alphabetical order")
	}
	text := environmentText()
	for _, v := range app.Variables {
		if !strings.Contains(text, "  "+v.Name) {
			t.Errorf("'fob help environment' lacks %s", v.Name)
		}
	}
}

func TestSettingsListsEverySetting(t *testing.T) {
	text := Settings()
	for _, s := range config.Settings() {
		if !strings.Contains(text, "\n  "+s.Key+" ") && !strings.HasPrefix(text, "  "+s.Key+" ") {
			t.Errorf("'fob help config --all' lacks %s", s.Key)
		}
	}
	for line := range strings.Lines(text) {
		if len(line) > 81 {
			t.Errorf("too wide: %s", line)
		}
	}
}

// The example in 'fob help config' is one that fob reads.
func TestTheConfigurationInTheHelpIsRead(t *testing.T) {
	_, example, _ := strings.Cut(configText, "\n\n  default = ")
	if _, err := config.Parse("help", []byte("default = "+example)); err != nil {
		t.Error(err)
	}
}
