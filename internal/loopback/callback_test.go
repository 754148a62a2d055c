package loopback

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fobcli/fob/internal/oauth"
)

// waiting is a login that waits on its listener.
type waiting struct {
	t        *testing.T
	request  *oauth.AuthorizationRequest // whose URL is shown
	launched *oauth.AuthorizationRequest
	start    string // the URL of the start page
	redirect string
	host     string
	redeemed atomic.Int32
	done     chan error
	cancel   context.CancelFunc
	pasted   chan string
	notes    chan string // what the user was told
}

// startWaiting waits for a login whose exchange is finish; nil: it succeeds.
func startWaiting(t *testing.T, finish func(context.Context) error) *waiting {
	t.Helper()
	l, err := Listen(defaultRedirect)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	w := &waiting{
		t: t, request: newRequest(l.RedirectURI()), redirect: l.RedirectURI(), host: l.redirect.Host,
		launched: newRequest(l.RedirectURI()), start: l.StartURL(),
		done: make(chan error, 1), cancel: cancel, pasted: make(chan string), notes: make(chan string, 10),
	}
	login := Login{Shown: w.request, Launched: w.launched, Pasted: w.pasted, Warn: func(text string) { w.notes <- text }}
	login.Finish = func(ctx context.Context, _ *oauth.AuthorizationRequest, _ string) error {
		w.redeemed.Add(1)
		if finish == nil {
			return nil
		}
		return finish(ctx)
	}
	go func() { w.done <- l.Serve(ctx, login) }()
	t.Cleanup(cancel)
	return w
}

func (w *waiting) send(method, target string) (int, string, http.Header) {
	w.t.Helper()
	ctx, stop := context.WithTimeout(w.t.Context(), headerTimeout/2) // nobody waits for others to time out
	defer stop()
	req, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

func (w *waiting) get(q url.Values) (int, string, http.Header) {
	w.t.Helper()
	return w.send(http.MethodGet, w.redirect+"?"+q.Encode())
}

// mustStillWait finishes the login: what came before did not end it.
func (w *waiting) mustStillWait() {
	w.t.Helper()
	if n := w.redeemed.Load(); n != 0 {
		w.t.Errorf("%d codes were redeemed", n)
	}
	if status, page, _ := w.get(goodCallback(w.request)); status != http.StatusOK || !strings.Contains(page, "You are logged in") {
		w.t.Errorf("the real callback got %d", status)
	}
	if err := <-w.done; err != nil || w.redeemed.Load() != 1 {
		w.t.Errorf("the login ended with %v, %d codes redeemed", err, w.redeemed.Load())
	}
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// raw sends bytes and returns the status line.
func (w *waiting) raw(request string) string {
	w.t.Helper()
	conn := dial(w.t, w.host)
	go func() { _, _ = io.WriteString(conn, request) }()
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return line
}

func TestStrayCallbacksDoNotEndTheLogin(t *testing.T) {
	for name, change := range map[string]func(url.Values){
		"A1 wrong state":                func(q url.Values) { q.Set("state", "guessed") },
		"A2 missing state":              func(q url.Values) { q.Del("state") },
		"A2 empty state":                func(q url.Values) { q.Set("state", "") },
		"A3 error with a bad state":     func(q url.Values) { q.Set("state", "x"); q.Set("error", "access_denied") },
		"A5 duplicate state":            func(q url.Values) { q.Add("state", q.Get("state")) },
		"A9 the state of another login": func(q url.Values) { q.Set("state", stateOf(newRequest(""))) },
	} {
		t.Run(name, func(t *testing.T) {
			w := startWaiting(t, nil)
			q := goodCallback(w.request)
			change(q)
			if status, page, _ := w.get(q); status != http.StatusBadRequest || strings.Contains(page, "log") {
				t.Errorf("it got %d: %s", status, page)
			}
			w.mustStillWait()
		})
	}
}

func TestBadCallbacksEndTheLoginWithoutATokenCall(t *testing.T) {
	for name, change := range map[string]func(url.Values){
		"A4 error with the good state": func(q url.Values) { q.Del("code"); q.Set("error", "access_denied") },
		"A5 duplicate code":            func(q url.Values) { q.Add("code", "another") },
		"A6 another iss":               func(q url.Values) { q.Set("iss", "https://evil.example") },
		"A6 iss absent":                func(q url.Values) { q.Del("iss") },
	} {
		t.Run(name, func(t *testing.T) {
			w := startWaiting(t, nil)
			q := goodCallback(w.request)
			change(q)
			if status, page, _ := w.get(q); status != http.StatusBadRequest || !strings.Contains(page, "did not work") {
				t.Errorf("it got %d", status)
			}
			if err := <-w.done; err == nil || w.redeemed.Load() != 0 {
				t.Errorf("the login ended with %v, %d codes redeemed", err, w.redeemed.Load())
			}
		})
	}
}

// held is an exchange that says when it begins, and waits to be let go.
func held() (finish func(context.Context) error, begun, release chan struct{}) {
	begun, release = make(chan struct{}), make(chan struct{})
	return func(ctx context.Context) error {
		close(begun)
		<-release
		return ctx.Err()
	}, begun, release
}

func TestA7ReplayDuringTheExchange(t *testing.T) {
	finish, begun, release := held()
	w := startWaiting(t, finish)
	first := make(chan int, 1)
	go func() {
		status, _, _ := w.get(goodCallback(w.request))
		first <- status
	}()
	<-begun
	for range 3 {
		if status, page, _ := w.get(goodCallback(w.request)); status != http.StatusGone || strings.Contains(page, "You are") {
			t.Errorf("A7: the replay got %d: %s", status, page)
		}
	}
	select {
	case status := <-first:
		t.Errorf("the page came before the exchange had ended: %d", status)
	default:
	}
	close(release)
	if status := <-first; status != http.StatusOK {
		t.Errorf("A7: the first got %d", status)
	}
	if err := <-w.done; err != nil || w.redeemed.Load() != 1 {
		t.Errorf("A7: %v, %d exchanges", err, w.redeemed.Load())
	}
}

// newTestCallback waits for a login without a network.
func newTestCallback(r *oauth.AuthorizationRequest) *callback {
	l := &Listener{redirect: &url.URL{Scheme: "http", Host: "127.0.0.1:5", Path: "/callback"}, start: "start"}
	return newCallback(l, Login{Shown: r, Launched: newRequest(r.RedirectURI), Warn: func(string) {}}, func(error) {})
}

// answer lets a handler answer one query, without a network.
func (c *callback) answer(query string) *httptest.ResponseRecorder {
	return c.get("/callback?"+query, "")
}

func (c *callback) get(target, cookie string) *httptest.ResponseRecorder {
	path, query, _ := strings.Cut(target, "?")
	req := httptest.NewRequest(http.MethodGet, path, nil)
	req.Host, req.URL.RawQuery = c.host, query
	if cookie != "" {
		req.Header.Set("Cookie", cookie)
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, req)
	return w
}

func TestA7ReplayAfterTheExchange(t *testing.T) {
	r := newRequest("http://127.0.0.1:5/callback")
	c := newTestCallback(r)
	c.outcome <- nil
	if got := c.answer(goodCallback(r).Encode()).Code; got != http.StatusOK {
		t.Errorf("A7: the first got %d", got)
	}
	if got := c.answer(goodCallback(r).Encode()).Code; got != http.StatusGone || len(c.answers) != 1 {
		t.Errorf("A7: the replay got %d, %d arrived", got, len(c.answers))
	}
}

// checkCallback is what FuzzCallbackQuery asks of any query.
func checkCallback(t *testing.T, query string) {
	t.Helper()
	r := newRequest("http://127.0.0.1:5/callback")
	query = strings.NewReplacer("right", stateOf(r), "https://x", "https://sso.example.com").Replace(query)
	c := newTestCallback(r)
	c.outcome <- nil
	status := c.answer(query).Code
	q, err := url.ParseQuery(query)
	ours := err == nil && len(query) <= maxQuery && slices.Equal(q["state"], []string{stateOf(r)})
	if ours != (status == http.StatusOK) || ours != (len(c.answers) == 1) || !ours && status != http.StatusBadRequest && status != http.StatusRequestURITooLong {
		t.Errorf("%q got %d, %d arrived", query, status, len(c.answers))
	}
	code, err := r.Code(q)
	clear := slices.Equal(q["state"], []string{stateOf(r)}) && len(q["code"]) == 1 && slices.Equal(q["iss"], []string{"https://sso.example.com"}) && !q.Has("error")
	if err == nil && (!clear || code != q.Get("code") || code == "") {
		t.Errorf("%q gives the code %q", query, code)
	}
}

func TestTheLoginCompletesWithoutTheBrowser(t *testing.T) {
	finish, begun, release := held()
	w := startWaiting(t, finish)
	conn := dial(t, w.host)
	_, _ = io.WriteString(conn, "GET /callback?"+goodCallback(w.request).Encode()+" HTTP/1.1\r\nHost: "+w.host+"\r\n\r\n")
	<-begun
	_ = conn.Close()
	if status, _, _ := w.send(http.MethodGet, w.redirect+"/nothing"); status != http.StatusNotFound {
		t.Errorf("another request got %d", status)
	}
	close(release)
	if err := <-w.done; err != nil {
		t.Errorf("Serve() = %v", err)
	}
}

func TestAFinishedLoginCountsAfterCtrlC(t *testing.T) {
	begun := make(chan struct{})
	w := startWaiting(t, func(ctx context.Context) error {
		close(begun)
		<-ctx.Done()
		return nil
	})
	status := make(chan int, 1)
	go func() {
		got, _, _ := w.get(goodCallback(w.request))
		status <- got
	}()
	<-begun
	w.cancel()
	if err := <-w.done; err != nil {
		t.Errorf("Serve() = %v", err)
	}
	if got := <-status; got != http.StatusOK {
		t.Errorf("the browser got %d", got)
	}
}

func TestPastedRedirectEndsTheWait(t *testing.T) {
	finish, begun, release := held()
	w := startWaiting(t, finish)
	w.pasted <- w.redirect + "?code=x&state=guessed"
	if note := <-w.notes; !strings.Contains(note, oauth.ErrStray.Error()) {
		t.Errorf("the user was told %q", note)
	}
	w.pasted <- w.redirect + "?" + goodCallback(w.request).Encode()
	<-begun
	if status, _, _ := w.get(goodCallback(w.request)); status != http.StatusGone {
		t.Errorf("A7: the same callback from the browser got %d", status)
	}
	close(release)
	if err := <-w.done; err != nil || w.redeemed.Load() != 1 {
		t.Errorf("Serve() = %v, %d redeemed", err, w.redeemed.Load())
	}
}

func TestAfterAPasteNoPageIsWaitedFor(t *testing.T) {
	r := newRequest("http://127.0.0.1:5/callback")
	c := newTestCallback(r)
	pasted := make(chan string, 1)
	pasted <- r.RedirectURI + "?" + goodCallback(r).Encode()
	c.login.Pasted = pasted
	if a, err := c.wait(t.Context()); err != nil || a.query.Get("code") != "a-code" || a.request != r {
		t.Errorf("wait() = %v, %v", a.query, err)
	}
	select {
	case <-c.pageSent:
	default:
		t.Error("farewell would wait for a page that does not come")
	}
}

func TestAClosedInputLeavesTheBrowser(t *testing.T) {
	w := startWaiting(t, nil)
	close(w.pasted)
	w.mustStillWait()
}
