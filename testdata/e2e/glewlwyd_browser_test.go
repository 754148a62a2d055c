package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strings"
)

// adasBrowser does at glewlwyd what its pages do for a person.
type adasBrowser struct{ hc *http.Client }

func newAdasBrowser(transport http.RoundTripper) (*adasBrowser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	return &adasBrowser{&http.Client{
		Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// logIn logs in to the server at url.
func (b *adasBrowser) logIn(url string) error {
	return b.send(http.MethodPost, url+"/api/auth/", map[string]string{"username": "ada", "password": adasPassword})
}

// visit logs in and grants what the page asks for. It returns where glewlwyd sends
// the browser then.
func (b *adasBrowser) visit(target string) (string, error) {
	page, err := redirectedTo(b.hc.Get(target))
	if err != nil {
		return "", err
	}
	asked := page.Query()
	if !strings.HasSuffix(page.Path, "/login.html") || asked.Get("callback_url") == "" {
		return page.String(), nil // the answer is no page: an error, for the client
	}
	server := page.Scheme + "://" + page.Host
	if err := b.logIn(server); err != nil {
		return "", err
	}
	grant := server + "/api/auth/grant/" + url.PathEscape(asked.Get("client_id"))
	if err := b.send(http.MethodPut, grant, map[string]string{"scope": asked.Get("scope")}); err != nil {
		return "", err
	}
	back, err := redirectedTo(b.hc.Get(asked.Get("callback_url") + "&g_continue"))
	if err != nil {
		return "", err
	}
	return back.String(), nil
}

func redirectedTo(resp *http.Response, err error) (*url.URL, error) {
	page, err := read(resp, err)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusFound {
		return nil, fmt.Errorf("glewlwyd redirects nowhere: %s %.300s", resp.Status, page)
	}
	return resp.Location()
}

func (b *adasBrowser) send(method, target string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, target, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := b.hc.Do(req)
	page, err := read(resp, err)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s %.300s", method, target, resp.Status, page)
	}
	return err
}

// approveAtGlewlwyd is a visit of Ada's to the end, at fob's listener.
func approveAtGlewlwyd(target string) error {
	var transport http.RoundTripper
	if file := os.Getenv("E2E_CA"); file != "" {
		transport = (&pki{CA: file}).client().Transport
	}
	browser, err := newAdasBrowser(transport)
	if err != nil {
		return err
	}
	return throughFob(browser.hc, target, browser.visit)
}

// ada is a browser of Ada's that nobody has used before.
func (g *glewlwyd) ada() *adasBrowser {
	g.t.Helper()
	browser, err := newAdasBrowser(g.admin.Transport)
	if err != nil {
		g.t.Fatal(err)
	}
	return browser
}
