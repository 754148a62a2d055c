package credhelper

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/secret"
)

func TestWriteMCP(t *testing.T) {
	var b bytes.Buffer
	if err := WriteMCP(&b, Credential{Token: secret.New(`a"b<c`)}); err != nil || b.String() != `{"Authorization":"Bearer a\"b<c"}`+"\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

const (
	mcpURL     = "https://api.example.com/mcp?a=1&b=2"
	mcpCommand = `'/opt/my "fob"' helper mcp work`
)

// TestMCPClient_Add: the expected files are those that the clients themselves have written
// (Claude Code 2.1.332) and read (Codex 0.171.0).
func TestMCPClient_Add(t *testing.T) {
	const (
		member = "    \"work\": {\n      \"type\": \"http\",\n      \"url\": \"https://api.example.com/mcp?a=1\\u0026b=2\",\n      \"headersHelper\": \"'/opt/my \\\"fob\\\"' helper mcp work\"\n    }"
		table  = "[mcp_servers.work]\nurl = \"https://api.example.com/mcp?a=1\\u0026b=2\"\nhttp_headers_helper = \"'/opt/my \\\"fob\\\"' helper mcp work\"\n"
	)
	for name, c := range map[string]struct{ client, before, after string }{
		"no JSON":              {"claude-code", "", "{\n  \"mcpServers\": {\n" + member + "\n  }\n}\n"},
		"blank JSON":           {"claude-code", " \n", "{\n  \"mcpServers\": {\n" + member + "\n  }\n}\n"},
		"an empty object":      {"claude-code", "{}", "{\n  \"mcpServers\": {\n" + member + "\n  }\n}"},
		"no servers":           {"claude-code", "{\n  \"x\": 1.50\n}\n", "{\n  \"mcpServers\": {\n" + member + "\n  },\n  \"x\": 1.50\n}\n"},
		"empty servers":        {"claude-code", `{"mcpServers": {}, "z": 12345678901234567890}`, "{\"mcpServers\": {\n" + member + "\n  }, \"z\": 12345678901234567890}"},
		"other servers":        {"claude-code", `{"mcpServers": {"a": {"type": "stdio"}}}`, "{\"mcpServers\": {\n" + member + ",\"a\": {\"type\": \"stdio\"}}}"},
		"servers of a project": {"claude-code", `{"projects": {"/w": {"mcpServers": {}}}, "mcpServers": {}}`, "{\"projects\": {\"/w\": {\"mcpServers\": {}}}, \"mcpServers\": {\n" + member + "\n  }}"},
		"only of a project":    {"claude-code", `{"projects": {"/w": {"mcpServers": {}}}}`, "{\n  \"mcpServers\": {\n" + member + "\n  },\"projects\": {\"/w\": {\"mcpServers\": {}}}}"},
		"the words in a text":  {"claude-code", `{"x": "\"mcpServers\": {"}`, "{\n  \"mcpServers\": {\n" + member + "\n  },\"x\": \"\\\"mcpServers\\\": {\"}"},

		"no TOML":                 {"codex", "", table},
		"comments":                {"codex", "# mine\nmodel = 'x' # why\n", "# mine\nmodel = 'x' # why\n\n" + table},
		"only comments":           {"codex", "# mine\n", "# mine\n\n" + table},
		"no newline":              {"codex", "model = 'x'", "model = 'x'\n" + table},
		"another table":           {"codex", "[mcp_servers.a]\ncommand = 'x'\n[tui]\nx = 1\n", "[mcp_servers.a]\ncommand = 'x'\n[tui]\nx = 1\n\n" + table},
		"an explicit super-table": {"codex", "[mcp_servers]\n[x]\n", "[mcp_servers]\n[x]\n\n" + table},
	} {
		client := MCPClients()[c.client]
		got, added, err := client.Add([]byte(c.before), "work", mcpURL, mcpCommand)
		if err != nil || string(got) != c.after || len(added) == 0 || !strings.Contains(c.after, string(added)) {
			t.Errorf("%s: %v\n%s\nadded: %s", name, err, got, added)
		}
		if again, added, err := client.Add(got, "work", mcpURL, mcpCommand); err != nil || !bytes.Equal(again, got) || added != nil {
			t.Errorf("%s, again: %v, added %q\n%s", name, err, added, again)
		}
		if _, _, err := client.Add(got, "work", "https://other.example.com", mcpCommand); !errors.Is(err, ErrInput) || !strings.Contains(err.Error(), `another server named "work"`) {
			t.Errorf("%s, another server: %v", name, err)
		}
	}
}

func TestMCPClient_AddRefuses(t *testing.T) {
	for name, c := range map[string]struct{ client, before string }{
		"no JSON":                 {"claude-code", `{"x":`},
		"a comment":               {"claude-code", "{ // mine\n}"},
		"a list":                  {"claude-code", `[]`},
		"null":                    {"claude-code", `null`},
		"servers that are a list": {"claude-code", `{"mcpServers": []}`},
		"servers that are null":   {"claude-code", `{"mcpServers": null}`},
		"servers twice":           {"claude-code", `{"mcpServers": {"a": {}}, "mcpServers": []}`},
		"an escaped name":         {"claude-code", `{"\u006dcpServers": {"a": {}}}`},
		"a byte order mark":       {"claude-code", "\ufeff{}"},
		"no TOML":                 {"codex", "[x\n"},
		"an inline table":         {"codex", "mcp_servers = { a = { command = 'x' } }\n"},
		"a list of tables":        {"codex", "[[mcp_servers]]\n"},
		"a disabled server":       {"codex", "[mcp_servers.work]\nenabled = false\n"},
	} {
		if got, _, err := MCPClients()[c.client].Add([]byte(c.before), "work", mcpURL, mcpCommand); !errors.Is(err, ErrInput) {
			t.Errorf("%s: %v\n%s", name, err, got)
		}
	}
}

// FuzzMCPClient_Add: whatever the file has, it stays, and the server is added.
func FuzzMCPClient_Add(f *testing.F) {
	for _, text := range []string{
		`{}`, `null`, `{"mcpServers":{}}`, `{"a":{"mcpServers":{"x":1}},"mcpServers":{"y":[]}}`, `{"a":"{\"mcpServers\":{"}`,
		"# x", "a = 1", "[mcp_servers.x]\nurl = 'y'", "x = \"\"\"\n[mcp_servers]\"\"\"", "[[mcp_servers]]", "mcp_servers.x = {}",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for name, client := range MCPClients() {
			changed, added, err := client.Add([]byte(text), "work", mcpURL, mcpCommand)
			if err != nil || added == nil {
				continue
			}
			before, after := map[string]any{}, map[string]any{}
			if strings.TrimSpace(text) != "" && client.parse([]byte(text), &before) != nil || client.parse(changed, &after) != nil {
				t.Fatalf("%s: %q became %q", name, text, changed)
			}
			servers, _ := after[client.servers].(map[string]any)
			if _, known := servers["work"]; !known {
				t.Fatalf("%s: %q became %q", name, text, changed)
			}
			delete(servers, "work")
			if before[client.servers] == nil {
				delete(after, client.servers)
			}
			if fmt.Sprint(before) != fmt.Sprint(after) || strings.TrimSpace(text) != "" && len(changed) <= len(text) {
				t.Errorf("%s: %q became %q", name, text, changed)
			}
		}
	})
}
