package credhelper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"

	"github.com/pelletier/go-toml/v2"

	"github.com/fobcli/fob/internal/sanitize"
)

// WriteMCP prints the headers that an MCP client asks a helper for.
func WriteMCP(w io.Writer, c Credential) error {
	return writeJSON(w, map[string]string{"Authorization": "Bearer " + c.Token.Reveal()})
}

// ErrOtherServer means that the client uses a server of the same name in another way.
var ErrOtherServer = errors.New("it has another server")

// MCPClient is a program with a file of the MCP servers that it uses.
type MCPClient struct {
	Variable, Folder, File string // the folder is in the variable, or below the user's home

	servers string // the member of the file with the servers
	parse   func([]byte, any) error
	formats []string // of a file with one server, and of what adds one to a file
}

// MCPClients returns the clients that can be configured, by name.
func MCPClients() map[string]MCPClient {
	const server = "\n    %q: {\n      \"type\": \"http\",\n      \"url\": %s,\n      \"headersHelper\": %s\n    }"
	const servers = "\n  \"mcpServers\": {" + server + "\n  }"
	const table = "[mcp_servers.%s]\nurl = %s\nhttp_headers_helper = %s\n"
	return map[string]MCPClient{
		"claude-code": {"CLAUDE_CONFIG_DIR", "", ".claude.json", "mcpServers", json.Unmarshal, []string{"{" + servers + "\n}\n", server + ",", server + "\n  ", servers + ",", servers + "\n"}},
		"codex":       {"CODEX_HOME", ".codex", "config.toml", "mcp_servers", toml.Unmarshal, []string{table, "\n" + table}},
	}
}

// Add adds a server to the text of the client's file. It returns the new text and what was
// added: nothing if the file already has the server. If that is not possible without changing
// anything else, the error is ErrInput.
func (c MCPClient) Add(text []byte, name, url, command string) (changed, added []byte, err error) {
	quote := func(text string) []byte {
		quoted, _ := json.Marshal(text)
		return quoted
	}
	format := func(format string) []byte { return fmt.Appendf(nil, format, name, quote(url), quote(command)) }
	own, want := map[string]any{}, map[string]any{}
	if len(bytes.TrimSpace(text)) == 0 {
		return format(c.formats[0]), format(c.formats[0]), nil
	}
	if err := errors.Join(c.parse(format(c.formats[0]), &own), c.parse(text, &want)); err != nil {
		return nil, nil, fmt.Errorf("%w: %s", ErrInput, sanitize.Line(err.Error()))
	}
	server := own[c.servers].(map[string]any)[name]
	switch present, _ := want[c.servers].(map[string]any); {
	case want == nil:
		return nil, nil, fmt.Errorf("%w: it is null", ErrInput)
	case present == nil:
		want[c.servers] = own[c.servers]
	case reflect.DeepEqual(present[name], server):
		return text, nil, nil
	case present[name] != nil:
		return nil, nil, fmt.Errorf("%w: %w named %q", ErrInput, ErrOtherServer, name)
	default:
		present[name] = server
	}
	// The end of TOML, or the beginning of a JSON object: the wrong ones give another result.
	places, at := []int{len(text)}, 0
	for before := range bytes.SplitSeq(text, []byte(c.servers)) {
		places = append(places, at+bytes.IndexByte(text[at:], '{')+1)
		at += len(before) + len(c.servers)
	}
	for _, place := range places {
		for _, one := range c.formats[1:] {
			added, got := format(one), map[string]any(nil)
			changed := slices.Concat(text[:place], added, text[place:])
			if c.parse(changed, &got) == nil && reflect.DeepEqual(got, want) {
				return changed, bytes.TrimSpace(added), nil
			}
		}
	}
	return nil, nil, fmt.Errorf("%w: it is written in a way that fob cannot change", ErrInput)
}
