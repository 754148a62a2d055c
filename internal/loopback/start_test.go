package loopback

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/oauth"
)

// visitor is a browser that keeps cookies and stays where it is.
type visitor struct {
	t  *testing.T
	hc *http.Client
}

func newVisitor(t *testing.T) visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return visitor{t, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (v visitor) visit(method, target string, header ...string) (int, string, http.Header) {
	v.t.Helper()
	req, err := http.NewRequestWithContext(v.t.Context(), method, target, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := v.hc.Do(req)
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return resp.StatusCode, string(page), resp.Header
}

// mustStart opens the start page, which leads to the launched request.
func (v visitor) mustStart(w *waiting) {
	v.t.Helper()
	status, _, header := v.visit(http.MethodGet, w.start)
	if status != http.StatusFound || header.Get("Location") != w.launched.URL() {
		v.t.Fatalf("the start page got %d, Location %q", status, header.Get("Location"))
	}
}

func (w *waiting) launchedCallback() string {
	return w.redirect + "?" + goodCallback(w.launched).Encode()
}

func (w *waiting) mustEndWith(want error, exchanges int32) {
	w.t.Helper()
	if err := <-w.done; !errors.Is(err, want) || w.redeemed.Load() != exchanges {
		w.t.Errorf("the login ended with %v, %d codes redeemed", err, w.redeemed.Load())
	}
}

func TestI69_StartPage(t *testing.T) {
	w, browser := startWaiting(t, nil), newVisitor(t)
	if strings.Contains(w.start, stateOf(w.launched)) || strings.Contains(w.start, "?") || !strings.HasPrefix(w.start, w.redirect+"/") {
		t.Errorf("the start page is %s", w.start)
	}
	status, _, header := browser.visit(http.MethodGet, w.start)
	cookie := header.Get("Set-Cookie")
	for _, want := range []string{"fob-login-" + strings.Split(w.host, ":")[1] + "=", "; Path=/callback", "; HttpOnly", "; SameSite=Lax"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("the cookie %q lacks %s", cookie, want)
		}
	}
	if status != http.StatusFound || header.Get("Location") != w.launched.URL() || header.Get("Cache-Control") != "no-store" || header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("the start page got %d, %v", status, header)
	}
	browser.mustStart(w) // the same browser again
	if status, page, _ := browser.visit(http.MethodGet, w.launchedCallback()); status != http.StatusOK || !strings.Contains(page, "You are logged in") {
		t.Errorf("the callback got %d", status)
	}
	w.mustEndWith(nil, 1)
}

// What is in the launcher's arguments is known to everybody, and the state to whoever
// opened the page. The cookie is the browser's.
func TestI69_CallbackWithoutTheCookie(t *testing.T) {
	for name, forge := range map[string]func(w *waiting) []string{
		"no cookie":        func(*waiting) []string { return nil },
		"a guessed cookie": func(w *waiting) []string { return []string{"Cookie", w.cookieName() + "=AAAAAAAAAAAAAAAAAAAAAAAAAA"} },
		"an empty cookie":  func(w *waiting) []string { return []string{"Cookie", w.cookieName() + "="} },
		"another's name":   func(*waiting) []string { return []string{"Cookie", "fob-login-1=x"} },
		"two cookies":      func(w *waiting) []string { return []string{"Cookie", w.cookieName() + "=a; " + w.cookieName() + "=b"} },
	} {
		t.Run(name, func(t *testing.T) {
			w, browser := startWaiting(t, nil), newVisitor(t)
			browser.mustStart(w)
			for range 3 {
				if status, page, _ := newVisitor(t).visit(http.MethodGet, w.launchedCallback(), forge(w)...); status != http.StatusBadRequest || !strings.Contains(page, "in which the login began") {
					t.Errorf("it got %d: %s", status, page)
				}
			}
			if note := <-w.notes; !strings.Contains(note, "cookie") || len(w.notes) != 0 {
				t.Errorf("the user was told %q, and %d more", note, len(w.notes))
			}
			if status, _, _ := browser.visit(http.MethodGet, w.launchedCallback()); status != http.StatusOK {
				t.Errorf("the browser's own callback got %d", status)
			}
			w.mustEndWith(nil, 1)
		})
	}
}

func (w *waiting) cookieName() string { return "fob-login-" + strings.Split(w.host, ":")[1] }

// A program that reads the arguments and is faster than the browser opens the page
// first; the browser's visit then ends the login.
func TestI69_SecondVisitorEndsTheLogin(t *testing.T) {
	w, first, second := startWaiting(t, nil), newVisitor(t), newVisitor(t)
	first.mustStart(w)
	status, page, header := second.visit(http.MethodGet, w.start)
	if status != http.StatusGone || !strings.Contains(page, "did not work") || header.Get("Location") != "" || header.Get("Set-Cookie") != "" {
		t.Errorf("the second visitor got %d, %v", status, header)
	}
	w.mustEndWith(ErrOpenedTwice, 0)
	mustBeClosed(t, "I69", w.host)
}

func TestI69_SecondVisitorStopsTheExchange(t *testing.T) {
	begun := make(chan struct{})
	w := startWaiting(t, func(ctx context.Context) error {
		close(begun)
		<-ctx.Done()
		return ctx.Err()
	})
	first := newVisitor(t)
	first.mustStart(w)
	got := make(chan string, 1)
	go func() {
		_, page, _ := first.visit(http.MethodGet, w.launchedCallback())
		got <- page
	}()
	<-begun
	if status, _, _ := newVisitor(t).visit(http.MethodGet, w.start); status != http.StatusGone {
		t.Errorf("the second visitor got %d", status)
	}
	if page := <-got; !strings.Contains(page, "did not work") {
		t.Errorf("the first visitor got %.300s", page)
	}
	w.mustEndWith(ErrOpenedTwice, 1)
}

// What looks at the page without showing it does not use it up, and nothing stray
// ends the login.
func TestI69_OtherRequestsDoNotUseTheStartPage(t *testing.T) {
	w := startWaiting(t, nil)
	base := "http://" + w.host
	for _, test := range []struct {
		method, target string
		header         []string
		want           int
	}{
		{method: "HEAD", target: w.start, want: 405}, {method: "POST", target: w.start, want: 405}, {method: "OPTIONS", target: w.start, want: 405},
		{method: "GET", target: w.start, header: []string{"Sec-Purpose", "prefetch"}, want: 403},
		{method: "GET", target: w.start, header: []string{"Sec-Purpose", "prefetch;prerender"}, want: 403},
		{method: "GET", target: w.start, header: []string{"Purpose", "prefetch"}, want: 403},
		{method: "GET", target: w.start, header: []string{"X-Purpose", "preview"}, want: 403},
		{method: "GET", target: w.start, header: []string{"X-Moz", "prefetch"}, want: 403},
		{method: "GET", target: w.start, header: []string{"Sec-Fetch-Dest", "image"}, want: 403},
		{method: "GET", target: w.start, header: []string{"Sec-Fetch-Dest", "iframe"}, want: 403},
		{method: "GET", target: base + "/favicon.ico", want: 404}, {method: "GET", target: w.start + "/", want: 404}, {method: "GET", target: w.start + "x", want: 404},
		{method: "GET", target: w.start[:len(w.start)-1], want: 404}, {method: "GET", target: strings.ToLower(w.start), want: 404},
		{method: "GET", target: w.redirect, want: 400}, {method: "GET", target: w.redirect + "?state=x", want: 400},
		{method: "GET", target: w.start, header: []string{"Host", "evil.test"}, want: 421},
	} {
		status, _, header := newVisitor(t).visitHost(test.method, test.target, test.header...)
		if status != test.want || header.Get("Location") != "" || header.Get("Set-Cookie") != "" {
			t.Errorf("%s %s %v: %d, want %d", test.method, strings.TrimPrefix(test.target, base), test.header, status, test.want)
		}
	}
	browser := newVisitor(t)
	browser.mustStart(w)
	browser.visit(http.MethodGet, w.launchedCallback())
	w.mustEndWith(nil, 1)
}

// visitHost is visit with a Host of its own.
func (v visitor) visitHost(method, target string, header ...string) (int, string, http.Header) {
	v.t.Helper()
	if len(header) != 2 || header[0] != "Host" {
		return v.visit(method, target, header...)
	}
	w := &waiting{t: v.t, host: strings.Split(target, "/")[2]}
	line := w.raw(method + " /" + strings.SplitN(target, "/", 4)[3] + " HTTP/1.1\r\nHost: " + header[1] + "\r\n\r\n")
	if !strings.Contains(line, "421") {
		return 0, line, http.Header{}
	}
	return http.StatusMisdirectedRequest, line, http.Header{}
}

// The URL that is shown is in no arguments: whatever browser the user opens it in may
// bring the callback.
func TestI69_ShownURLNeedsNoCookie(t *testing.T) {
	w := startWaiting(t, nil)
	newVisitor(t).mustStart(w)
	if stateOf(w.request) == stateOf(w.launched) || w.request.Nonce == w.launched.Nonce {
		t.Fatal("the two requests share a state or a nonce")
	}
	w.mustStillWait()
}

func TestI69_EachRequestIsRedeemedAsItself(t *testing.T) {
	for name, launched := range map[string]bool{"shown": false, "launched": true} {
		l, err := Listen(defaultRedirect)
		if err != nil {
			t.Fatal(err)
		}
		login := Login{Shown: newRequest(l.RedirectURI()), Launched: newRequest(l.RedirectURI()), Warn: func(string) {}}
		var redeemed *oauth.AuthorizationRequest
		login.Finish = func(_ context.Context, r *oauth.AuthorizationRequest, _ string) error { redeemed = r; return nil }
		done := make(chan error, 1)
		go func() { done <- l.Serve(t.Context(), login) }()
		browser, want := newVisitor(t), login.Shown
		if launched {
			want = login.Launched
			browser.visit(http.MethodGet, l.StartURL())
		}
		browser.visit(http.MethodGet, l.RedirectURI()+"?"+goodCallback(want).Encode())
		if err := <-done; err != nil || redeemed != want {
			t.Errorf("%s: %v, the right request %v", name, err, redeemed == want)
		}
	}
}

// The page is below the redirect's path, however that is written, and the cookie reaches both.
func TestI69_StartPageOfAnyRedirect(t *testing.T) {
	for _, uri := range []string{"http://127.0.0.1", "http://127.0.0.1/", "http://localhost/a%2Fb/c%20d", "http://127.0.0.1//x", "http://127.0.0.1/callback/"} {
		l, err := Listen(uri)
		if err != nil {
			t.Fatal(err)
		}
		r := newRequest(l.RedirectURI())
		done := make(chan error, 1)
		go func() {
			done <- l.Serve(t.Context(), Login{Shown: newRequest(l.RedirectURI()), Launched: r, Warn: func(string) {}, Finish: succeed})
		}()
		browser := newVisitor(t)
		status, _, header := browser.visit(http.MethodGet, l.StartURL())
		if status != http.StatusFound {
			t.Errorf("%s: the start page %s got %d", uri, l.StartURL(), status)
			_ = l.Close()
			continue
		}
		// Browsers compare a cookie's path as it is sent, Go's jar does not.
		cookie, _, _ := strings.Cut(header.Get("Set-Cookie"), ";")
		browser = newVisitor(t)
		if !strings.Contains(header.Get("Set-Cookie"), "; Path="+oauthPath(l)+";") {
			t.Errorf("%s: the cookie is %q", uri, header.Get("Set-Cookie"))
		}
		if status, _, _ := browser.visit(http.MethodGet, l.RedirectURI()+"?"+goodCallback(r).Encode(), "Cookie", cookie); status != http.StatusOK {
			t.Errorf("%s: the callback got %d", uri, status)
			_ = l.Close()
			continue
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func oauthPath(l *Listener) string {
	_, path := oauth.AsVisited(l.redirect)
	return path
}

func TestI69_NoStartPageWhereNoBrowserIsLaunched(t *testing.T) {
	l, err := Listen(defaultRedirect)
	if err != nil {
		t.Fatal(err)
	}
	r := newRequest(l.RedirectURI())
	done := make(chan error, 1)
	go func() { done <- l.Serve(t.Context(), Login{Shown: r, Finish: succeed}) }()
	if status, _, _ := newVisitor(t).visit(http.MethodGet, l.StartURL()); status != http.StatusNotFound {
		t.Errorf("the start page got %d", status)
	}
	newVisitor(t).visit(http.MethodGet, l.RedirectURI()+"?"+goodCallback(r).Encode())
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A question in the terminal does not keep the browser waiting.
func TestI69_TheBrowserIsSentBackToAQuestion(t *testing.T) {
	l, err := Listen(defaultRedirect)
	if err != nil {
		t.Fatal(err)
	}
	r, asked := newRequest(l.RedirectURI()), make(chan struct{})
	login := Login{Shown: r, Finish: func(context.Context, *oauth.AuthorizationRequest, string) error {
		l.ShowQuestion()
		<-asked
		return nil
	}}
	done := make(chan error, 1)
	go func() { done <- l.Serve(t.Context(), login) }()
	status, page, _ := newVisitor(t).visit(http.MethodGet, l.RedirectURI()+"?"+goodCallback(r).Encode())
	if status != http.StatusOK || !strings.Contains(page, "One question is left") || strings.Contains(page, "You are logged in") {
		t.Errorf("%d: %s", status, page)
	}
	close(asked)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Another user's connection is refused wherever the launched request is concerned, and
// ends nothing.
func TestI69_ConnectionsOfOthersAreRefused(t *testing.T) {
	r := newRequest("http://127.0.0.1:5/callback")
	c := newTestCallback(r)
	foreign := errors.New("it belongs to the user with uid 4711")
	c.checkPeer = func(*http.Request) error { return foreign }
	var notes []string
	c.login.Warn = func(text string) { notes = append(notes, text) }
	c.stop = func(error) { t.Error("the login was ended") }
	for range 3 {
		if w := c.get(c.startPath, ""); w.Code != http.StatusForbidden || w.Header().Get("Location") != "" || len(w.Result().Cookies()) != 0 {
			t.Errorf("the start page: %d, %v", w.Code, w.Header())
		}
	}
	cookie := c.cookie.Name + "=" + c.cookie.Value
	if w := c.get("/callback?"+goodCallback(c.login.Launched).Encode(), cookie); w.Code != http.StatusForbidden || len(c.answers) != 0 {
		t.Errorf("the callback: %d, %d arrived", w.Code, len(c.answers))
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "uid 4711") {
		t.Errorf("the user was told %q", notes)
	}
	c.checkPeer = func(*http.Request) error { return nil }
	if w := c.get(c.startPath, ""); w.Code != http.StatusFound {
		t.Errorf("the user's own browser: %d", w.Code)
	}
	c.outcome <- nil
	if w := c.get("/callback?"+goodCallback(c.login.Launched).Encode(), cookie); w.Code != http.StatusOK {
		t.Errorf("the user's own callback: %d", w.Code)
	}
	c = newTestCallback(r)
	if w := c.get(c.startPath, ""); w.Code != http.StatusForbidden { // no connection to look up
		t.Errorf("a connection without addresses: %d", w.Code)
	}
}
