package loopback

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/oauth"
)

func TestA14NothingOfTheRequestIsOnThePage(t *testing.T) {
	const script = "<script>alert(1)</script>"
	targets := map[string]func(url.Values) string{
		"path":  func(q url.Values) string { return "/" + script + "?" + q.Encode() },
		"raw":   func(q url.Values) string { return "?" + q.Encode() + "&" + script },
		"error": func(q url.Values) string { q.Del("code"); q.Set("error", script); return "?" + q.Encode() },
		"names": func(q url.Values) string { q.Set(script, script); return "?" + q.Encode() },
	}
	for _, name := range []string{"code", "state", "iss", "error", "error_description", "error_uri"} {
		targets[name] = func(q url.Values) string { q.Set(name, script); return "?" + q.Encode() }
	}
	for name, target := range targets {
		w := startWaiting(t, nil)
		_, page, header := w.send(http.MethodGet, w.redirect+target(goodCallback(w.request)))
		for _, shown := range []string{page, strings.Join(header.Values("Location"), "")} {
			if shown := strings.ToLower(shown); strings.Contains(shown, "script") || strings.Contains(shown, "alert") {
				t.Errorf("A14 %s: %s", name, shown)
			}
		}
		w.cancel()
		<-w.done
	}
}

func TestAFailedExchangeShowsTheOtherPage(t *testing.T) {
	refusal := errors.New("the exchange failed")
	w := startWaiting(t, func(context.Context) error { return refusal })
	status, page, _ := w.get(goodCallback(w.request))
	if status != http.StatusBadRequest || strings.Contains(page, "You are logged in") || !strings.Contains(page, "did not work") || strings.Contains(page, refusal.Error()) {
		t.Errorf("%d: %s", status, page)
	}
	if err := <-w.done; !errors.Is(err, refusal) {
		t.Errorf("Serve() = %v", err)
	}
}

func TestThePageIsOnItsWayBeforeThePortIsClosed(t *testing.T) {
	for _, end := range []error{nil, oauth.ErrMalformed} {
		r := newRequest("http://127.0.0.1:5/callback")
		c := newTestCallback(r)
		c.outcome <- end
		w := c.answer(goodCallback(r).Encode())
		<-c.pageSent
		if !w.Flushed || w.Header().Get("Content-Length") != strconv.Itoa(w.Body.Len()) {
			t.Errorf("%v: flushed: %t, %s of %d bytes", end, w.Flushed, w.Header().Get("Content-Length"), w.Body.Len())
		}
	}
}

func TestEveryAnswerForbidsTheBrowserEverything(t *testing.T) {
	w := startWaiting(t, nil)
	for _, target := range []string{"", "/nothing", "?state=guessed", "?" + strings.Repeat("x", 10<<10), "?" + goodCallback(w.request).Encode()} {
		status, _, header := w.send(http.MethodGet, w.redirect+target)
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
			"Content-Security-Policy": contentSecurityPolicy(),
		} {
			if got := header.Values(name); len(got) != 1 || got[0] != want {
				t.Errorf("%d: %s is %q, want %q", status, name, got, want)
			}
		}
		for _, name := range []string{"Set-Cookie", "Access-Control-Allow-Origin", "Server"} {
			if header.Get(name) != "" {
				t.Errorf("%d: it sends %s", status, name)
			}
		}
	}
}

func TestPages(t *testing.T) {
	for _, p := range []page{successPage, questionPage, failurePage, answeredPage, strayPage} {
		html := p.html()
		_, rest, _ := strings.Cut(html, "<style>")
		style, _, _ := strings.Cut(rest, "</style>")
		sum := sha256.Sum256([]byte(style))
		want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
		if got := contentSecurityPolicy(); got != want || style == "" {
			t.Errorf("the policy is %q, want %q", got, want)
		}
		if strings.ContainsAny(strings.Replace(html, style, "", 1), "{}") {
			t.Errorf("a field is not filled in: %s", html)
		}
		for _, must := range []string{`<html lang="en">`, `name="viewport"`, "<main", `role="status"`, "<h1>" + p.title, "<title>" + p.title, p.text, "prefers-color-scheme: dark"} {
			if !strings.Contains(html, must) {
				t.Errorf("the page lacks %q", must)
			}
		}
		for _, never := range []string{"<script", "<link", "<img", "<a ", "<form", "http:", "https:", "url(", "@import", " style=", "onload", "onclick"} {
			if strings.Contains(html, never) {
				t.Errorf("the page holds %q", never)
			}
		}
	}
}

// A stray callback may hold a code: it does not stay in the address bar.
func TestAStrayCodeLeavesTheAddressBar(t *testing.T) {
	w := startWaiting(t, nil)
	for _, target := range []string{"?code=secret&state=guessed", "/nothing?code=secret"} {
		status, page, header := w.send(http.MethodGet, w.redirect+target)
		if header.Get("Refresh") != "0; url=/" || !strings.Contains(page, strayPage.text) || strings.Contains(page, "secret") {
			t.Errorf("%s: %d, Refresh %q: %s", target, status, header.Get("Refresh"), page)
		}
	}
	if status, page, header := w.send(http.MethodGet, "http://"+w.host+"/"); status != http.StatusNotFound || header.Get("Refresh") != "" || !strings.Contains(page, strayPage.text) {
		t.Errorf("the page without a query: %d, Refresh %q: %s", status, header.Get("Refresh"), page)
	}
	w.mustStillWait()
}
