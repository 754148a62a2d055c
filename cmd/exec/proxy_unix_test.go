//go:build unix

package exec

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/proxy"
	"github.com/fobcli/fob/internal/session"
)

func TestProxy_Usage(t *testing.T) {
	program := []string{"--", "true"}
	for name, test := range map[string]struct {
		args    []string
		problem string
	}{
		"nothing":                {nil, "PROFILE and COMMAND"},
		"no program":             {[]string{"work", "--allow", "a.example.com"}, "PROFILE and COMMAND"},
		"two profiles":           {append([]string{"work", "home", "--allow", "a.example.com"}, program...), "expected one PROFILE"},
		"no host":                {append([]string{"work"}, program...), "--allow is required"},
		"a URL with a path":      {append([]string{"work", "--allow", "https://a.example.com/x"}, program...), "--allow https://a.example.com/x"},
		"plain http elsewhere":   {append([]string{"work", "--allow", "http://a.example.com"}, program...), "--allow http://a.example.com"},
		"a header with a colon":  {append([]string{"work", "--allow", "a.example.com", "--header", "X-Key: "}, program...), "--header is not"},
		"a wrong reference":      {append([]string{"secret/", "--allow", "a.example.com"}, program...), "invalid secret name"},
		"a base URL not allowed": {append([]string{"work", "--allow", "a.example.com", "--base-url", "API=b.example.com"}, program...), "the host is not allowed"},
		"a base URL without one": {append([]string{"work", "--allow", "a.example.com", "--base-url", "API"}, program...), "--base-url is not"},
		"an unknown flag":        {append([]string{"work", "--nope"}, program...), "nope"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := cmdtest.New(t, "", "FOB_TOKEN_WORK=canary").Run(NewProxy, test.args...)
			if exitStatus(err) != exitExecFailed || !strings.Contains(err.Error(), test.problem) || !cli.IsUsage(err) || cli.CarriedHint(err) == "" {
				t.Errorf("%v, hint %q", err, cli.CarriedHint(err))
			}
		})
	}
}

const clientVariable = "PROXY_TEST_URLS"

// TestProxyClient is the program that the proxy runs: it gets URLs and prints the answers.
func TestProxyClient(t *testing.T) {
	for target := range strings.FieldsSeq(os.Getenv(clientVariable)) {
		if name, path, found := strings.Cut(target, "+"); found {
			target = os.Getenv(name) + path
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer of-the-program")
		client := &http.Client{Transport: &http.Transport{Proxy: func(r *http.Request) (*url.URL, error) {
			if strings.Contains(os.Getenv("HTTP_PROXY"), r.URL.Host) {
				return nil, nil
			}
			return url.Parse(os.Getenv("HTTP_PROXY"))
		}}}
		resp, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		_, _ = os.Stdout.WriteString(resp.Status + ": " + string(body) + "\n")
	}
}

func TestProxy_AddsTheCredential(t *testing.T) {
	var seen []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.URL.Path+" "+r.Header.Get("Authorization")+r.Header.Get("X-Key"))
		_, _ = io.WriteString(w, "hello")
	}))
	defer api.Close()
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a host that is not allowed was asked") }))
	defer other.Close()
	for name, test := range map[string]struct {
		args []string
		urls string
		want []string // that the API sees
		out  string   // a part of what the program sees
		log  string   // a part of it
	}{
		"allowed":          {[]string{"work"}, api.URL + "/a", []string{"/a Bearer canary-token"}, "200 OK: hello", "GET " + api.URL[len("http://"):] + " /a 200\n"},
		"as a base URL":    {[]string{"work", "--base-url", "API=" + api.URL + "/v1"}, "API+/b", []string{"/v1/b Bearer canary-token"}, "200 OK: hello", "/v1/b 200\n"},
		"another header":   {[]string{"secret/db", "--header", "X-Key"}, api.URL + "/c", []string{"/c canary-secret"}, "200 OK: hello", "/c 200\n"},
		"not allowed":      {[]string{"work"}, other.URL, nil, "403 Forbidden", "403"},
		"quiet":            {[]string{"work", "--quiet"}, api.URL + "/d", []string{"/d Bearer canary-token"}, "200 OK: hello", ""},
		"quiet on failure": {[]string{"work", "--quiet"}, other.URL, nil, "403 Forbidden", "403"},
	} {
		t.Run(name, func(t *testing.T) {
			seen = nil
			t.Setenv(clientVariable, test.urls)
			a := cmdtest.New(t, "", "FOB_TOKEN_WORK=canary-token", "FOB_SECRET_DB=canary-secret")
			args := append(slices.Clone(test.args), "--allow", api.URL, "--", os.Args[0], "-test.run=^TestProxyClient$")
			stdout, stderr, err := a.Run(NewProxy, args...)
			if err != nil || !slices.Equal(seen, test.want) {
				t.Errorf("the API has seen %q: %v", seen, err)
			}
			if !strings.Contains(stdout, test.out) || strings.Contains(stdout, "canary") {
				t.Errorf("the program has seen %q", stdout)
			}
			if !strings.Contains(stderr, test.log) || test.log == "" && stderr != "" || strings.Contains(stderr, "canary") {
				t.Errorf("logged %q", stderr)
			}
		})
	}
}

func TestBaseURLHint(t *testing.T) {
	parse := func(text string) proxy.Origin {
		origin, err := proxy.ParseOrigin(text)
		if err != nil {
			t.Fatal(err)
		}
		return origin
	}
	allowed := []proxy.Origin{parse("http://127.0.0.1:8080")}
	for origin, want := range map[string]string{
		"https://127.0.0.1:8080": "--base-url API=http://127.0.0.1:8080/v1",
		"https://b.example.com":  "allow it: --allow b.example.com",
		"http://127.0.0.1:9090":  "allow it: --allow http://127.0.0.1:9090",
	} {
		if got := hintOfBaseURL("API", parse(origin), "v1/", allowed); !strings.HasSuffix(got, want) {
			t.Errorf("%s: %s", origin, got)
		}
	}
}

// A token without a known end is asked for anew, and a secret is cached for an hour.
func TestCachedCredential(t *testing.T) {
	a := cmdtest.New(t, "", "FOB_TOKEN_WORK=token-1", "FOB_SECRET_DB=secret-1")
	now := cmdtest.Now()
	a.Clock = session.Clock{Now: func() time.Time { return now }}
	secret := &cachedCredential{a: a.App, reference: "secret/db"}
	token := &cachedCredential{a: a.App, reference: "token/work"}
	expect := func(c *cachedCredential, want string) {
		t.Helper()
		if got, err := c.get(t.Context()); err != nil || got.Reveal() != want {
			t.Errorf("%q, %v", got.Reveal(), err)
		}
	}
	expect(secret, "secret-1")
	expect(token, "token-1")
	a.Environ["FOB_SECRET_DB"], a.Environ["FOB_TOKEN_WORK"] = "secret-2", "token-2"
	expect(secret, "secret-1")
	expect(token, "token-2")
	now = now.Add(secretLifetime)
	expect(secret, "secret-2")
	a.Environ["FOB_SECRET_DB"] = "secret-3"
	secret.forget()
	expect(secret, "secret-3")

	header := http.Header{"Authorization": {"Bearer of-the-program"}}
	if err := secret.authorize("X-Api-Key")(t.Context(), header); err != nil || header.Get("Authorization") != "" || header.Get("X-Api-Key") != "secret-3" {
		t.Errorf("%v, %v", header, err)
	}
	delete(a.Environ, "FOB_TOKEN_WORK")
	header = http.Header{"Authorization": {"Bearer of-the-program"}}
	if err := token.authorize("")(t.Context(), header); err == nil || len(header) != 0 {
		t.Errorf("without a token: %v, %v", header, err)
	}
}

func TestRequestLog(t *testing.T) {
	for _, quiet := range []bool{false, true} {
		a := cmdtest.New(t, "")
		a.Hint = func(error) string { return "a hint" }
		log := requestLog(a.App, quiet)
		log(proxy.Entry{Method: "GET", Host: "h", Path: "/\x1b[31m", Status: 200})
		log(proxy.Entry{Method: "CONNECT", Status: 405, Err: errors.New("no\nline")})
		want := "GET h /[31m 200\nCONNECT - 405: no line\nhint: a hint\n"
		if quiet {
			want = want[strings.Index(want, "CONNECT"):]
		}
		if stderr := a.Stderr(); stderr != want {
			t.Errorf("%q", stderr)
		}
	}
}
