package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/safetext"
)

// hostileTexts is what somebody may write into a name: commands for terminals and for CI
// runners, at every place where these recognise them.
func hostileTexts() []string {
	return []string{
		hostile,
		"\x1b[31mred\x1b[0m", "\x1b]52;c;aGk=\a", "\u009b31m\u0090q", "\u202eevil\u2066", "a\u200bb\U000e0041",
		"a\nerror: all is well", "a\r\nhint: run evil", "a\u2028b\u0085c",
		"::stop-commands::x", " \t::set-env name=A::b", "\u200b::add-mask::x", "\u00a0::error::x", "x\n  ::stop-commands::y",
		"see ##[set-env name=A]b", "see ##vso[task.prependpath]/tmp", "#\u200b#vso[task.setvariable variable=A]b", "##teamcity[setParameter name='a']",
		"section_start:1:x[collapsed=true]\r\x1b[0Kx", "\xff\xfe##\xffvso[x]", "##" + strings.Repeat("#", 50) + "[x]",
	}
}

// recognised is what a terminal or a CI runner would act on in a text, or "".
func recognised(text string) string {
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		for _, r := range line {
			if r != '\t' && r != ' ' && (!unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) || unicode.IsSpace(r)) {
				return fmt.Sprintf("%U in %q", r, line)
			}
		}
		if strings.HasPrefix(strings.TrimSpace(line), "::") || strings.Contains(line, "##") {
			return line
		}
	}
	return ""
}

func TestI75_EverythingPrintedIsInert(t *testing.T) {
	for _, text := range hostileTexts() {
		if recognised(text) == "" && !strings.HasPrefix(text, "a\nerror: ") {
			t.Errorf("the check finds nothing in %q", text)
		}
	}
	for _, text := range hostileTexts() {
		var stdout, stderr bytes.Buffer
		a := &streams{stdout: stream{&stdout}, stderr: stream{&stderr}, getenv: func(string) string { return "" }}
		a.note("%s", text)
		a.note("%s%s", ":", text)
		a.note("#%s", "#"+text)
		a.note("found %v in %-9s, %q", apikey.State(text), fmt.Errorf("one: %s", text), text)
		a.note("%s", errors.Join(errors.New(text), errors.New(text)))
		a.warn(text)
		a.showError(fmt.Errorf("reading %s: %w", text, fs.ErrNotExist), "run 'fob "+text+"'")
		_ = a.stderr.printf("%s ", text)
		_ = a.stdout.write(text)
		for _, err := range []error{
			a.printTable([][]string{{"NAME", "NOTE"}, {text, text}, {"", text}}),
			a.printJSON(map[string]string{text: text}),
			a.printLine([]string{text}),
			a.stdout.printf("%s\n%s\n", text, painted("")),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		slog.New(slog.NewJSONHandler(newInertWriter(a.stderr.raw(), safetext.JSON), nil)).Warn(text, text, text)
		fmt.Fprintf(newInertWriter(a.stdout.raw(), inertCompletion), "word\t%s\n", text)
		for _, out := range []string{stdout.String(), stderr.String()} {
			if bad := recognised(out); bad != "" {
				t.Errorf("%q: printed %q", text, bad)
			}
		}
	}
}

// A line break within a name must not begin a line that looks like one of fob's.
func TestI75_ANameIsOneLine(t *testing.T) {
	var stdout, stderr bytes.Buffer
	a := &streams{stdout: stream{&stdout}, stderr: stream{&stderr}, getenv: func(string) string { return "" }}
	a.note("Delivered to %s.", "x\nhint: run evil"+strings.Repeat(" ", 500)+"hint: run evil")
	_ = a.printTable([][]string{{"NAME"}, {"x\nhint: run evil\tx"}})
	if got, want := stderr.String(), "Delivered to x hint: run evil hint: run evil.\n"; got != want {
		t.Errorf("%q", got)
	}
	if got, want := stdout.String(), "NAME\nx hint: run evil x\n"; got != want {
		t.Errorf("%q", got)
	}
}

// On a terminal fob's own colours stay, and nobody else's.
func TestI75_OnlyPaintedTextKeepsItsColours(t *testing.T) {
	red := style{on: true}.red("error:\x1b]0;t\a")
	if got, want := inertf("%s %s %d%%", red, "\x1b[32mok\u202e", 42), "\x1b[1;31merror:]0;t\x1b[0m [32mok 42%"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestI75_BlanksAtTheEndsOfAPartStay(t *testing.T) {
	if got, want := inertf("key%s.%s|%s", " (live)", " It is\n", ""), "key (live). It is |"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// rawWriters are the functions that may write to stdout or stderr without the printer, and
// what each of them writes. Text of others has no place in any of them as it is.
var rawWriters = map[string]string{
	"Main":                  "cobra's completions, by inertCompletion",
	"newRootCmd":            "cobra's own: help, versions and completion scripts",
	"app.writeJSON":         "JSON, by safetext.JSON",
	"app.serveOptions":      "the log, in JSON, by safetext.JSON",
	"runKeyExport":          "JSON lines, which keyfile makes inert",
	"app.printMask":         "a command for the CI runner",
	"app.maskAll":           "a command for the CI runner",
	"runCIExport":           "lines for a shell, quoted",
	"newKeyPepperExportCmd": "a pepper, in hex",
	"app.printToken":        "a token",
	"app.printBound":        "a token and its proof",
	"runSecretGet":          "a secret",
	"secretRotation.rescue": "a secret",
	"app.writeBackup":       "a sealed backup",
	"newRulesCmd":           "a file for a scanner; brands are validated",
	"app.printProxyConfig":  "a file for a proxy server",
	"app.runChild":          "the child's own output",
	"app.launch":            "the browser launcher's own output",
	"app.newConfirmer":      "the output of SSH_ASKPASS",
	"app.jobIdentity":       "the output of identity_command",
	"app.commandOutput":     "the output of passphrase_command",
	"runHelperAWS":          "the protocol of AWS",
	"runHelperDocker":       "the protocol of docker",
	"app.listRegistries":    "the protocol of docker",
	"runHelperGit":          "the protocol of git",
	"app.answerGit":         "the protocol of git",
	"runHelperKubectl":      "the protocol of kubectl",
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
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 50 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, _ := d.(*ast.FuncDecl)
			ast.Inspect(d, func(n ast.Node) bool {
				selector, is := n.(*ast.SelectorExpr)
				if !is {
					return true
				}
				of, _ := selector.X.(*ast.Ident)
				switch name := selector.Sel.Name; {
				case name == "raw" && f != nil:
					used[nameOf(f)] = true
				case name == "raw", name == "OutOrStderr", name == "ErrOrStderr",
					name == "OutOrStdout" && path != "help.go", // whose text is fob's own
					name == "w" && path != "printer.go" && path != "terminal.go",
					of != nil && of.Name == "os" && (name == "Stdout" || name == "Stderr"):
					t.Errorf("%s: %s goes past the printer: see stream", path, name)
				}
				return true
			})
		}
	}
	for name := range used {
		if rawWriters[name] == "" {
			t.Errorf("%s writes raw text: use printf, or say in rawWriters why not", name)
		}
	}
	for name := range rawWriters {
		if !used[name] {
			t.Errorf("%s is listed and writes no raw text", name)
		}
	}
	_ = filepath.WalkDir("../internal", func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "authservertest") {
			return nil
		}
		text, err := os.ReadFile(path)
		for _, past := range []string{"os.Stdout", "os.Stderr", "fmt.Print", "log.Print", "slog.Default", "print("} {
			if err != nil || strings.Contains(strings.ReplaceAll(string(text), "Fprint(", ""), "\t"+past) || past[0] == 'o' && strings.Contains(string(text), past) {
				t.Errorf("%s: %s goes past the printer: return what is to be printed (%v)", path, past, err)
			}
		}
		return nil
	})
	if _, is := any(stream{}).(io.Writer); is {
		t.Error("a stream must not be an io.Writer: fmt.Fprint would take it")
	}
}
