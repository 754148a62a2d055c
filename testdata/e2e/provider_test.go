package e2e

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

// provider is a running oidc-provider and what it has seen.
type provider struct {
	t      testing.TB
	issuer string
	pki    *pki // nil without TLS

	mu     sync.Mutex // guards events
	events []event
}

// event is one line of server.mjs.
type event struct {
	Event  string   `json:"event"`
	Issuer string   `json:"issuer"`
	Client string   `json:"client"`
	Method string   `json:"method"` // of the code challenge
	Key    string   `json:"key"`    // what a code will be bound to (RFC 9449 §10)
	Type   string   `json:"type"`   // of the access token
	Path   string   `json:"path"`   // of a request of fob, behind its method
	Port   int      `json:"port"`
	Error  string   `json:"error"`
	Detail string   `json:"detail"`
	Tokens []string `json:"tokens"`
}

// providerOptions are for server.mjs, which says what they do.
type providerOptions struct {
	AccessTokenSeconds int              `json:"accessTokenSeconds"`
	DeviceCodeSeconds  int              `json:"deviceCodeSeconds,omitempty"`
	TLS                *pki             `json:"tls,omitempty"`
	Clients            []map[string]any `json:"clients,omitempty"`
	RequirePushed      bool             `json:"requirePushed,omitempty"`
	DPoPNonce          bool             `json:"dpopNonce,omitempty"`
}

func startProvider(t testing.TB, accessTokenSeconds int) *provider {
	t.Helper()
	return startProviderWith(t, providerOptions{AccessTokenSeconds: accessTokenSeconds})
}

func startProviderWith(t testing.TB, options providerOptions) *provider {
	t.Helper()
	options.AccessTokenSeconds = cmp.Or(options.AccessTokenSeconds, 3600)
	argument, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	node := exec.Command("node", "server.mjs", string(argument))
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	p := &provider{t: t, pki: options.TLS}
	lines := bufio.NewReader(out)
	first, err := readEvent(lines)
	if err != nil {
		t.Fatal("the provider did not start: ", err)
	}
	p.issuer = first.Issuer
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			e, err := readEvent(lines)
			if err != nil {
				return
			}
			p.mu.Lock()
			p.events = append(p.events, e)
			p.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = node.Process.Kill()
		<-done
		_ = node.Wait()
		for _, e := range p.events {
			if e.Event == "server error" {
				t.Errorf("the provider failed: %s", e.Detail)
			}
		}
	})
	return p
}

// client is an HTTP client of the tests' own that trusts the provider.
func (p *provider) client() *http.Client { return p.pki.client() }

// readEvent passes over what is no JSON.
func readEvent(r *bufio.Reader) (event, error) {
	for {
		line, err := r.ReadBytes('\n')
		var e event
		if json.Unmarshal(line, &e) == nil && e.Event != "" {
			return e, nil
		}
		if err != nil {
			return e, err
		}
	}
}

// seen is all that has happened at the server.
func (p *provider) seen() []event {
	p.settle()
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.events)
}

// count is how often something happened at the server.
func (p *provider) count(name string) int {
	n := 0
	for _, e := range p.seen() {
		if e.Event == name {
			n++
		}
	}
	return n
}

// refusals is what the server has refused and why; clients are told less.
func (p *provider) refusals() string {
	var all strings.Builder
	for _, e := range p.seen() {
		if e.Event == "refused" {
			fmt.Fprintf(&all, "the server has refused %s: %s\n", e.Client, e.Detail)
		}
	}
	return all.String()
}

// requests is how often fob has asked for a path: "POST /token".
func (p *provider) requests(path string) int {
	n := 0
	for _, e := range p.seen() {
		if e.Path == path {
			n++
		}
	}
	return n
}

// settle waits until the reader has caught up: it makes the server say one more
// thing and waits for it.
func (p *provider) settle() {
	p.t.Helper()
	marker := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(slices.DeleteFunc(slices.Clone(p.events), func(e event) bool { return e.Error != "invalid_grant" }))
	}
	before := marker()
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"marker"}, "client_id": {"fob-e2e"}}
	resp, err := p.client().PostForm(p.issuer+"/token", form)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = resp.Body.Close()
	for marker() == before {
		if _, err := read(p.client().Get(p.issuer + "/jwks")); err != nil {
			p.t.Fatal(err)
		}
	}
}

// tokens are all that the server has given out.
func (p *provider) tokens() []string {
	var all []string
	for _, e := range p.seen() {
		all = append(all, e.Tokens...)
	}
	return all
}

func (p *provider) last(name string) event {
	for _, e := range slices.Backward(p.seen()) {
		if e.Event == name {
			return e
		}
	}
	p.t.Fatalf("the server has seen no %s", name)
	return event{}
}

// active asks the server's introspection endpoint about a token.
func (p *provider) active(token string) bool {
	p.t.Helper()
	return p.introspect(token).Active
}

// introspection is what the server says of a token (RFC 7662 §2.2).
type introspection struct {
	Active       bool
	Scope        string
	ClientID     string `json:"client_id"`
	Subject      string `json:"sub"`
	TokenType    string `json:"token_type"`
	Audience     string `json:"aud"`
	Confirmation struct {
		Thumbprint  string `json:"jkt"`      // of a DPoP key (RFC 9449 §6.1)
		Certificate string `json:"x5t#S256"` // (RFC 8705 §3.1)
	} `json:"cnf"`
}

func (p *provider) introspect(token string) introspection {
	p.t.Helper()
	form := url.Values{"token": {strings.TrimSpace(token)}, "client_id": {"fob-e2e"}}
	resp, err := p.client().PostForm(p.issuer+"/token/introspection", form)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Active *bool
		introspection
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Active == nil {
		p.t.Fatalf("introspection: %s, %v", resp.Status, err)
	}
	answer.introspection.Active = *answer.Active
	return answer.introspection
}

// get makes a request with the headers that fob has printed.
func (p *provider) get(method, target, headers string) (int, http.Header, string) {
	p.t.Helper()
	req, err := http.NewRequest(method, target, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(headers) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		req.Header.Set(name, value)
	}
	resp, err := p.client().Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}
