package ci

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/httpclient"
)

// github is a runner's token endpoint and the job's environment there.
func github(t *testing.T, answer http.HandlerFunc) (m Machine, server *httptest.Server) {
	t.Helper()
	server = httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return job(t, server.URL+"/token?api-version=2.0"), server
}

func job(t *testing.T, where string) Machine {
	t.Helper()
	hc, err := httpclient.New(httpclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return Machine{Getenv: environment("GITHUB_ACTIONS", "true", requestURL, where, requestToken, "canary-bearer"), HTTP: hc}
}

func TestGitHub(t *testing.T) {
	var asked []string
	m, _ := github(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.String()+" "+r.Header.Get("Authorization"))
		_, _ = io.WriteString(w, `{"count":1,"value":"`+canary+`"}`)
	})
	for _, audience := range []string{"", "https://sso.example.com/a?b&c"} {
		got, err := m.IdentityToken(t.Context(), Detect, audience, nil)
		check(t, audience, got, err, canary, nil)
	}
	want := []string{
		"GET /token?api-version=2.0 bearer canary-bearer",
		"GET /token?api-version=2.0&audience=https%3A%2F%2Fsso.example.com%2Fa%3Fb%26c bearer canary-bearer",
	}
	if strings.Join(asked, "\n") != strings.Join(want, "\n") {
		t.Errorf("GitHub was asked %q", asked)
	}
}

func TestB16HostileAnswersOfGitHub(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		body   string
		want   error
	}{
		"HTML":         {200, "<html>canary</html>", ErrMalformed},
		"empty":        {200, "", ErrMalformed},
		"cut off":      {200, `{"value":"` + canary, ErrMalformed},
		"another type": {200, `{"value":["` + canary + `"]}`, ErrMalformed},
		"no value":     {200, `{}`, ErrMalformed},
		"CR LF":        {200, `{"value":"` + canary + `\r\nX-Evil: 1"}`, ErrMalformed},
		"ESC":          {200, `{"value":"` + canary + `\u001b[31m"}`, ErrMalformed},
		"large":        {200, `{"value":"` + strings.Repeat("canary", 20000) + `"}`, ErrMalformed},
		"1 MiB":        {200, `{"value":"` + strings.Repeat("canary", 200000) + `"}`, httpclient.ErrTooLarge},
		"refused":      {403, "canary", nil},
		"server error": {500, "canary", httpclient.ErrUnavailable},
		"gateway":      {503, `{"value":"` + canary + `"}`, httpclient.ErrUnavailable},
	} {
		requests := 0
		m, _ := github(t, func(w http.ResponseWriter, _ *http.Request) {
			requests++
			w.WriteHeader(test.status)
			_, _ = io.WriteString(w, test.body)
		})
		got, err := m.IdentityToken(t.Context(), GitHub, "", nil)
		check(t, name, got, err, "", cmp.Or(test.want, err))
		if err == nil || requests != 1 || !errors.Is(test.want, httpclient.ErrUnavailable) && errors.Is(err, httpclient.ErrUnavailable) {
			t.Errorf("%s: %v after %d requests", name, err, requests)
		}
	}
}

func TestB19RedirectOfGitHub(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the other host sees %s %q", r.URL, r.Header.Get("Authorization"))
	}))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		m, _ := github(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/canary", status)
		})
		got, err := m.IdentityToken(t.Context(), GitHub, "", nil)
		check(t, http.StatusText(status), got, err, "", httpclient.ErrRedirect)
	}
}

// TestD39BearerIsSentNowhereElse: each address is refused before anything is sent,
// and none of them is there.
func TestD39BearerIsSentNowhereElse(t *testing.T) {
	for _, where := range []string{
		"http://192.0.2.1/token", "http://localhost.evil.test/", "http://127.0.0.1.evil.test/", "http://[2001:db8::1]/",
		"file:///etc/passwd", "javascript:alert(1)", "//192.0.2.1/", "192.0.2.1/token", "https:///token", "https://user:canary@192.0.2.1/",
		"https://192.0.2.1/#canary", "-flag", "http://127.0.0.1\x00.evil.test/", "https://192.0.2.1/\ncanary",
	} {
		m := job(t, where)
		m.HTTP = &http.Client{Transport: unreachable{t}}
		got, err := m.IdentityToken(t.Context(), GitHub, "", nil)
		if err == nil || errors.Is(err, httpclient.ErrUnavailable) {
			t.Errorf("%q is accepted: %v", where, err)
		}
		check(t, where, got, err, "", err)
	}
}

type unreachable struct{ t *testing.T }

func (u unreachable) RoundTrip(r *http.Request) (*http.Response, error) {
	u.t.Errorf("%s is asked", r.URL)
	return nil, errors.New("unreachable")
}

func TestGitHubDoesNotAnswer(t *testing.T) {
	cut, _ := github(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"value":"`+canary)
	})
	got, err := cut.IdentityToken(t.Context(), GitHub, "", nil)
	check(t, "cut off", got, err, "", httpclient.ErrUnavailable)
	m, server := github(t, func(http.ResponseWriter, *http.Request) {})
	server.Close()
	got, err = m.IdentityToken(t.Context(), GitHub, "canary-audience", nil)
	check(t, "closed", got, err, "", httpclient.ErrUnavailable)
}

func TestGitHubWithoutPermission(t *testing.T) {
	for name, getenv := range map[string]func(string) string{
		"neither":  environment("GITHUB_ACTIONS", "true"),
		"no token": environment(requestURL, "https://192.0.2.1/"),
		"no URL":   environment(requestToken, canary),
	} {
		got, err := Machine{Getenv: getenv}.IdentityToken(t.Context(), GitHub, "", nil)
		check(t, name, got, err, "", ErrNotPermitted)
	}
	m := Machine{Getenv: environment(requestURL, "https://192.0.2.1/", requestToken, canary+"\r\nX-Evil: 1")}
	got, err := m.IdentityToken(t.Context(), GitHub, "", nil)
	check(t, "a bearer with CR LF", got, err, "", ErrMalformed)
}
