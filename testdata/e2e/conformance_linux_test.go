package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	conformanceSuite    = "node_modules/@modelcontextprotocol/conformance/dist/index.js"
	conformanceRevision = "2026-07-28"
	conformanceBegin    = "<!-- conformance: written by TestConformance -->\n"
)

// TestConformance runs the auth scenarios of MCP's conformance suite, and compares their
// result with docs/standards.md. FOB_WRITE=1 writes it.
func TestConformance(t *testing.T) {
	t.Parallel()
	scenarios := regexp.MustCompile(`auth/(\S+)( \[client\])?`).FindAllStringSubmatch(conformance(t, nil, "list", "--requirements", conformanceRevision), -1)
	if len(scenarios) != 31 {
		t.Fatalf("the suite lists %d scenarios", len(scenarios))
	}
	var mu sync.Mutex
	passed := map[bool][]string{} // of the extensions, or of the revision
	t.Run("scenarios", func(t *testing.T) {
		for _, scenario := range scenarios {
			name, isExtension := scenario[1], scenario[2] != ""
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				runScenario(t, name, isExtension)
				mu.Lock()
				defer mu.Unlock()
				passed[isExtension] = append(passed[isExtension], "`"+name+"`")
			})
		}
	})
	if t.Failed() {
		return
	}
	var b strings.Builder
	for _, row := range []struct {
		title       string
		isExtension bool
	}{{"required by MCP " + conformanceRevision, false}, {"extensions", true}} {
		slices.Sort(passed[row.isExtension])
		fmt.Fprintf(&b, "- %s: %d of %[2]d pass\n", row.title, len(passed[row.isExtension]))
		line := " "
		for i, name := range passed[row.isExtension] {
			if name += strings.Repeat(",", min(1, len(passed[row.isExtension])-1-i)); len(line)+len(name) > 130 {
				b.WriteString(line + "\n")
				line = " "
			}
			line += " " + name
		}
		b.WriteString(line + "\n")
	}
	compareList(t, b.String())
}

func compareList(t *testing.T, list string) {
	t.Helper()
	const path = "../../docs/standards.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(page), conformanceBegin)
	found, after, ends := strings.Cut(rest, "<!-- end -->")
	switch {
	case !begins || !ends:
		t.Fatal("docs/standards.md has no place for the list")
	case found == list:
	case os.Getenv("FOB_WRITE") == "":
		t.Errorf("docs/standards.md does not match: FOB_WRITE=1 go test -run TestConformance\n%s", list)
	default:
		if err := os.WriteFile(path, []byte(before+conformanceBegin+list+"<!-- end -->"+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func runScenario(t *testing.T, name string, isExtension bool) {
	t.Helper()
	m := newMachine(t, sealed...)
	bin := filepath.Join(m.home, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(shipped, filepath.Join(bin, "fob")); err != nil {
		t.Fatal(err)
	}
	// The suite's authorization endpoint redirects at once; the cookie is of fob's own page.
	m.env = append(m.env, "PATH="+bin+":"+os.Getenv("PATH"), "NODE="+node22(t), "BROWSER=curl -sLo /dev/null -c /dev/null")
	if name == "basic-cimd" {
		config := filepath.Join(m.home, ".config", "fob", "config.toml")
		if err := os.MkdirAll(filepath.Dir(config), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(config, []byte("client_id_metadata_url = \"https://conformance-test.local/client-metadata.json\"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	client, err := filepath.Abs("mcp.sh")
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"client", "--command", "bash " + client, "--timeout", "90000", "--scenario", "auth/" + name}
	if !isExtension {
		args = append(args, "--spec-version", conformanceRevision)
	}
	conformance(t, m, args...)
}

// conformance runs the suite, in a machine's environment if there is one.
func conformance(t *testing.T, m *machine, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), node22(t), append([]string{conformanceSuite}, args...)...)
	if m != nil {
		cmd.Env = m.env
	}
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, output)
	}
	return string(output)
}

// node22 is the Node that the suite requires, from npm: the system's may be older.
func node22(t *testing.T) string {
	t.Helper()
	arch := strings.Replace(runtime.GOARCH, "amd64", "x64", 1)
	path, err := filepath.Abs(filepath.Join("node_modules", "node-linux-"+arch, "bin", "node"))
	if err != nil {
		t.Fatal(err)
	}
	return path
}
