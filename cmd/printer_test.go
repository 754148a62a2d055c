package cmd

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/cli"
)

// rawWriters are the functions that may write to stdout or stderr without the printer, and
// what each of them writes. Text of others has no place in any of them as it is.
var rawWriters = map[string]string{
	"cmd.Main":                                  "cobra's completions, by inertCompletion",
	"cmd.newRootCmd":                            "cobra's own: help, versions and completion scripts",
	"cmd/agent.newConfirmer":                    "the output of SSH_ASKPASS",
	"cmd/auth.browserOf":                        "the browser launcher's own output",
	"cmd/auth.printBound":                       "a token and its proof",
	"cmd/auth.printToken":                       "a token",
	"cmd/ci.maskAll":                            "a command for the CI runner",
	"cmd/ci.runCIExport":                        "lines for a shell, quoted",
	"cmd/exec.runChild":                         "the child's own output",
	"cmd/helper.answerGit":                      "the protocol of git",
	"cmd/helper.listRegistries":                 "the protocol of docker",
	"cmd/helper.runHelperAWS":                   "the protocol of AWS",
	"cmd/helper.runHelperDocker":                "the protocol of docker",
	"cmd/helper.runHelperGit":                   "the protocol of git",
	"cmd/helper.runHelperKubectl":               "the protocol of kubectl",
	"cmd/helper.runHelperMCP":                   "the protocol of MCP clients",
	"cmd/key.runPepperExport":                   "a pepper, in hex",
	"cmd/key.runExport":                         "JSON lines, which keylist makes inert",
	"cmd/scan.runRules":                         "a file for a scanner; brands are validated",
	"cmd/secret.runGet":                         "a secret",
	"cmd/secret.rotation.printUnsaved":          "a secret",
	"cmd/serve.printProxyConfig":                "a file for a proxy server",
	"cmd/serve.serverOptions":                   "the log, in JSON, by sanitize.JSON",
	"cmd/storage.writeBackup":                   "a sealed backup",
	"internal/app.App.JobIdentity":              "the output of identity_command",
	"internal/apikey/registry/sqlite.serialize": "no text: the connection of the driver",
	"internal/cli.IO.PrintCommand":              "a command for the CI runner",
	"internal/app.commandOutput":                "the output of passphrase_command",
	"internal/cli.IO.writeJSON":                 "JSON, by sanitize.JSON",
	"internal/cli.PrintJSONList":                "JSON, by sanitize.JSON",
}

// nameOf is a function's name, and for a method its receiver's type before it.
func nameOf(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	return strings.TrimPrefix(types.ExprString(f.Recv.List[0].Type), "*") + "." + f.Name.Name
}

func TestI75_RawWritersAreNamed(t *testing.T) {
	used := map[string]bool{}
	for _, top := range []string{"cmd", "internal"} {
		_ = filepath.WalkDir(filepath.Join("..", top), func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Ext(path) == ".go" && !strings.HasSuffix(path, "_test.go") && !strings.Contains(path, "authservertest") {
				checkPrinters(t, filepath.ToSlash(path), used)
			}
			return nil
		})
	}
	for name := range used {
		if rawWriters[name] == "" {
			t.Errorf("%s writes raw text: use Printf, or say in rawWriters why not", name)
		}
	}
	for name := range rawWriters {
		if !used[name] {
			t.Errorf("%s is listed and writes no raw text", name)
		}
	}
	if _, is := any(cli.Stream{}).(io.Writer); is {
		t.Error("a stream must not be an io.Writer: fmt.Fprint would take it")
	}
}

// checkPrinters notes who writes raw text in a file, and refuses what needs no stream for it.
func checkPrinters(t *testing.T, path string, used map[string]bool) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	folder := strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../")
	for _, d := range file.Decls {
		f, _ := d.(*ast.FuncDecl)
		ast.Inspect(d, func(n ast.Node) bool {
			if call, is := n.(*ast.CallExpr); is && len(call.Args) == 0 {
				if selector, is := call.Fun.(*ast.SelectorExpr); is && selector.Sel.Name == "Raw" && f != nil {
					used[folder+"."+nameOf(f)] = true
				}
			}
			selector, is := n.(*ast.SelectorExpr)
			if !is {
				return true
			}
			pkg := ""
			if of, is := selector.X.(*ast.Ident); is {
				pkg = of.Name
			}
			switch name := selector.Sel.Name; {
			case name == "OutOrStderr", name == "ErrOrStderr",
				name == "OutOrStdout" && path != "../cmd/help.go" && path != "../cmd/completion/completion.go", // whose text is fob's own
				pkg == "os" && (name == "Stdout" || name == "Stderr"),
				(pkg == "fmt" || pkg == "log") && strings.HasPrefix(name, "Print"), pkg == "slog" && name == "Default":
				t.Errorf("%s: %s goes past the printer: see cli.Stream", path, name)
			}
			return true
		})
	}
}

// An exported field without a name would be in the JSON output under its name in Go.
func TestJSON_FieldsAreNamed(t *testing.T) {
	for _, top := range []string{"cmd", "internal"} {
		_ = filepath.WalkDir(filepath.Join("..", top), func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				t.Fatal(err)
			}
			readOnly := slices.Contains([]string{"kubectl.go", "issuer.go"}, filepath.Base(path)) // JSON of other programs
			if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") || readOnly {
				return nil
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.StructType); ok {
					checkJSONFields(t, path, s)
				}
				return true
			})
			return nil
		})
	}
}

func checkJSONFields(t *testing.T, path string, s *ast.StructType) {
	t.Helper()
	isNamed := func(f *ast.Field) bool { return f.Tag != nil && strings.Contains(f.Tag.Value, `json:"`) }
	if !slices.ContainsFunc(s.Fields.List, isNamed) {
		return
	}
	for _, f := range s.Fields.List {
		for _, name := range f.Names {
			if name.IsExported() && !isNamed(f) {
				t.Errorf("%s: the field %s has no name in JSON", path, name)
			}
		}
	}
}
