//go:build unix

package scripttest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// flows are the rows of the table in docs/standards.md. The other columns come from the
// names of the end-to-end tests: TestFlow<Flow>_<Standard>…_<Server>.
var flows = []struct{ name, title, command string }{
	{"AuthorizationCode", "authorization code, PKCE, loopback redirect", "fob login work"},
	{"PasteMode", "the same, with the redirect URL pasted", "fob login work --no-browser"},
	{"IssuerIdentification", "`iss` in the callback", "fob login work"},
	{"PushedAuthorization", "pushed authorization requests", "fob login work"},
	{"Registration", "client registration", "fob login work --issuer URL"},
	{"ProtectedResource", "an API that publishes its server", "fob login api --resource URL"},
	{"Device", "device flow", "fob login work --device"},
	{"ClientCredentials", "client credentials", "fob login svc --grant client_credentials"},
	{"ClientSecretJWT", "client secret as a signing key", "fob login svc --token-endpoint-auth-method client_secret_jwt"},
	{"PrivateKeyJWT", "private key instead of a secret", "fob login svc --private-key-file FILE"},
	{"MutualTLS", "client certificates", "fob login svc --certificate-file FILE --certificate-key-file FILE"},
	{"TokenExchange", "a machine's identity exchanged for a token", "fob login ci --grant token-exchange"},
	{"JWTBearer", "the same, with the JWT bearer grant", "fob login ci --grant jwt-bearer"},
	{"Refresh", "refresh, with rotation", "fob token work"},
	{"ResourceIndicators", "several APIs with one login", "fob token work --resource URL"},
	{"DPoP", "tokens bound to a key", "fob token work --dpop GET URL"},
	{"Userinfo", "id_token and userinfo", "fob status work"},
	{"Revocation", "revocation", "fob logout work"},
	{"Logout", "ending the browser's session", "fob logout work --end-session"},
}

const (
	standardsPage = "docs/standards.md"
	flowsBegin    = "<!-- flows: written by TestFlowTable -->\n"
	flowsEnd      = "<!-- end -->"
)

// TestFlowTable compares the table in docs/standards.md with the tests. FOB_WRITE=1 writes it.
func TestFlowTable(t *testing.T) {
	standards, servers := flowTests(t)
	var b strings.Builder
	b.WriteString("| flow | command | standards | tests in `testdata/e2e` |\n|---|---|---|---|\n")
	for _, flow := range flows {
		if len(servers[flow.name]) == 0 {
			t.Errorf("no end-to-end test is named TestFlow%s_…", flow.name)
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | `TestFlow%s`: %s |\n", flow.title, flow.command, names(standards[flow.name]), flow.name, counts(servers[flow.name]))
		delete(servers, flow.name)
	}
	for name := range servers {
		t.Errorf("the end-to-end tests TestFlow%s_… have no row", name)
	}
	page := readAll(t, standardsPage)
	before, rest, begins := strings.Cut(page, flowsBegin)
	table, after, ends := strings.Cut(rest, flowsEnd)
	if !begins || !ends {
		t.Fatal("docs/standards.md has no place for the table")
	}
	if table == b.String() {
		return
	}
	if os.Getenv("FOB_WRITE") == "" {
		t.Errorf("the table does not match the tests: FOB_WRITE=1 go test -run TestFlowTable ./internal/scripttest/internal/scripttest\n%s", b.String())
		return
	}
	if err := os.WriteFile(standardsPage, []byte(before+flowsBegin+b.String()+flowsEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// flowTests reads the tests' names: which standards and which servers each flow has.
func flowTests(t *testing.T) (standards map[string]map[string]bool, servers map[string]map[string]int) {
	t.Helper()
	files, err := filepath.Glob(inRoot("testdata/e2e/*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatal("there are no end-to-end tests: ", err)
	}
	standards, servers = map[string]map[string]bool{}, map[string]map[string]int{}
	name := regexp.MustCompile(`(?m)^func TestFlow([A-Za-z]+)_((?:RFC[0-9]+_|OIDC(?:Core|RPInitiatedLogout)?_)+)(OIDCProvider|Glewlwyd)[_(]`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range name.FindAllStringSubmatch(string(text), -1) {
			flow := found[1]
			if standards[flow] == nil {
				standards[flow], servers[flow] = map[string]bool{}, map[string]int{}
			}
			for _, standard := range strings.Split(strings.TrimSuffix(found[2], "_"), "_") {
				standards[flow][readable(standard)] = true
			}
			servers[flow][map[string]string{"OIDCProvider": "oidc-provider", "Glewlwyd": "glewlwyd"}[found[3]]]++
		}
	}
	return standards, servers
}

func readable(standard string) string {
	if number, ok := strings.CutPrefix(standard, "RFC"); ok {
		return "RFC " + number
	}
	return map[string]string{"OIDCCore": "OIDC Core", "OIDCRPInitiatedLogout": "OIDC RP-Initiated Logout", "OIDC": "OIDC Core"}[standard]
}

func counts(set map[string]int) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		all = append(all, fmt.Sprintf("%d at %s", set[name], name))
	}
	return strings.Join(all, ", ")
}

func names(set map[string]bool) string { return strings.Join(slices.Sorted(maps.Keys(set)), ", ") }
