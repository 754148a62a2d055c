package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// provider is a running oidc-provider and what it has seen.
type provider struct {
	t      testing.TB
	issuer string

	mu     sync.Mutex // guards events
	events []event
}

type event struct {
	Event  string   `json:"event"`
	Issuer string   `json:"issuer"`
	Method string   `json:"method"`
	Error  string   `json:"error"`
	Tokens []string `json:"tokens"`
}

func startProvider(t testing.TB, accessTokenSeconds int) *provider {
	t.Helper()
	node := exec.Command("node", "server.mjs", strconv.Itoa(accessTokenSeconds))
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	p := &provider{t: t}
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
	})
	return p
}

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

// count is how often something happened at the server.
func (p *provider) count(name string) int {
	p.settle()
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, e := range p.events {
		if e.Event == name {
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
	resp, err := http.PostForm(p.issuer+"/token", form)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = resp.Body.Close()
	for marker() == before {
		if _, err := read(http.Get(p.issuer + "/jwks")); err != nil {
			p.t.Fatal(err)
		}
	}
}

// tokens are all that the server has given out.
func (p *provider) tokens() []string {
	p.settle()
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for _, e := range p.events {
		all = append(all, e.Tokens...)
	}
	return all
}

func (p *provider) last(name string) event {
	p.settle()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range slices.Backward(p.events) {
		if e.Event == name {
			return e
		}
	}
	p.t.Fatalf("the server has seen no %s", name)
	return event{}
}

// active asks the server's introspection endpoint about a token (RFC 7662).
func (p *provider) active(token string) bool {
	p.t.Helper()
	form := url.Values{"token": {token}, "client_id": {"fob-e2e"}}
	resp, err := http.PostForm(p.issuer+"/token/introspection", form)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Active *bool }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Active == nil {
		p.t.Fatalf("introspection: %s, %v", resp.Status, err)
	}
	return *answer.Active
}

// formAction finds where a page's form goes.
var formAction = regexp.MustCompile(`action="([^"]+)"`)

// browse is a browser of a few lines: it logs in and consents over HTTP, and
// returns the redirect to fob without following it.
func browse(target string) (string, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return "", err
	}
	issuer, err := url.Parse(target)
	if err != nil {
		return "", err
	}
	var back string
	hc := &http.Client{Jar: jar, CheckRedirect: func(req *http.Request, _ []*http.Request) error {
		if req.URL.Host != issuer.Host {
			back = req.URL.String()
			return http.ErrUseLastResponse
		}
		return nil
	}}
	page, err := read(hc.Get(target))
	for _, form := range []url.Values{{"prompt": {"login"}, "login": {"ada"}, "password": {"x"}}, {"prompt": {"consent"}}} {
		if err != nil || back != "" {
			return back, err
		}
		action := formAction.FindStringSubmatch(page)
		if action == nil {
			return "", fmt.Errorf("no form on the page: %.300s", page)
		}
		page, err = read(hc.PostForm(action[1], form))
	}
	if err == nil && back == "" {
		err = fmt.Errorf("the provider did not send the browser back: %.300s", page)
	}
	return back, err
}

// approve is browse to the end, at fob's listener.
func approve(target string) error {
	back, err := browse(target)
	if err != nil {
		return err
	}
	page, err := read(http.Get(back))
	if err == nil && !strings.Contains(page, "You are logged in") {
		err = fmt.Errorf("fob's page says: %.300s", page)
	}
	return err
}

func read(resp *http.Response, err error) (string, error) {
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), err
}
