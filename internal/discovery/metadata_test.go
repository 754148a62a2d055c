package discovery

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/httpclient"
)

// start starts a test issuer, and makes a client to ask it with.
func start(t *testing.T, opts authservertest.Options) (*authservertest.Server, *http.Client) {
	t.Helper()
	server, err := authservertest.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	hc, err := httpclient.New(httpclient.Options{Timeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return server, hc
}

func injectFault(t *testing.T, s *authservertest.Server, fault string) {
	t.Helper()
	if err := s.InjectFault(fault, 1); err != nil {
		t.Fatal(err)
	}
}

func TestDiscover(t *testing.T) {
	for name, opts := range map[string]authservertest.Options{
		"OpenID": {}, "OpenID below a path": {Path: "/realms/acme"}, "RFC 8414": {NoOpenID: true}, "RFC 8414 below a path": {NoOpenID: true, Path: "/realms/acme"},
	} {
		server, hc := start(t, opts)
		m, err := Discover(t.Context(), hc, server.Issuer())
		if err != nil || m.Issuer != server.Issuer() || m.OpenID == opts.NoOpenID || !m.IssParameterSupported {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
}

func TestD38IssuerMustMatch(t *testing.T) {
	server, hc := start(t, authservertest.Options{})
	for _, fault := range []string{"discovery-issuer", "discovery-slash", "discovery-case"} {
		injectFault(t, server, fault)
		if _, err := Discover(t.Context(), hc, server.Issuer()); !errors.Is(err, httpclient.ErrMalformed) || !errors.As(err, new(*OtherIssuerError)) {
			t.Errorf("D38 %s: %v", fault, err)
		}
	}
	if _, err := Discover(t.Context(), hc, server.Issuer()+"/"); err == nil {
		t.Error("D38: an issuer with a slash too many is accepted")
	}
}

// The page that an honest server makes of a query must not pass for its metadata.
func TestD38AnIssuerHasNoQuery(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		issuer := "http://" + r.Host + "/page?say="
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": issuer, "token_endpoint": "https://evil.example/token"})
	}))
	defer server.Close()
	if _, err := Discover(t.Context(), server.Client(), server.URL+"/page?say="); err == nil {
		t.Error("D38: an issuer with a query is accepted")
	}
}

func TestD40Bounded(t *testing.T) {
	server, hc := start(t, authservertest.Options{})
	injectFault(t, server, "discovery-huge")
	if _, err := Discover(t.Context(), hc, server.Issuer()); !errors.Is(err, httpclient.ErrTooLarge) {
		t.Errorf("D40 3 MiB: %v", err)
	}
	for _, fault := range []string{"discovery-500", "discovery-429"} {
		injectFault(t, server, fault)
		if _, err := Discover(t.Context(), hc, server.Issuer()); !errors.Is(err, httpclient.ErrUnavailable) {
			t.Errorf("%s: %v", fault, err)
		}
	}
	injectFault(t, server, "discovery-no-token")
	if _, err := Discover(t.Context(), hc, server.Issuer()); !errors.Is(err, httpclient.ErrMalformed) || errors.As(err, new(*OtherIssuerError)) {
		t.Errorf("no token endpoint: %v", err)
	}
}

func TestD40RedirectToAnotherHost(t *testing.T) {
	seen := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { seen++ }))
	defer other.Close()
	from := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusFound))
	defer from.Close()
	hc, err := httpclient.New(httpclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Discover(t.Context(), hc, from.URL); !errors.Is(err, httpclient.ErrRedirect) || seen != 0 {
		t.Errorf("D40: %v, the other host saw %d requests", err, seen)
	}
}

// A server elsewhere must not send requests to what listens on this machine alone.
func TestD39HTTPSLeadsToNoLoopback(t *testing.T) {
	var field string
	var value any
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer := map[string]any{"issuer": server.URL, "resource": server.URL, "token_endpoint": server.URL + "/token", "authorization_servers": []string{server.URL}}
		if field != "" {
			answer[field] = value
		}
		_ = json.NewEncoder(w).Encode(answer)
	})
	if _, err := Discover(t.Context(), server.Client(), server.URL); err != nil {
		t.Fatal(err)
	}
	const inside = "HTTP://127.0.0.1:2375/containers/create"
	endpoints := []string{"mtls_endpoint_aliases"}
	for _, endpoint := range new(Metadata).endpoints() {
		endpoints = append(endpoints, endpoint.name)
	}
	for _, field = range endpoints {
		if value = inside; field == "mtls_endpoint_aliases" {
			value = map[string]string{"token_endpoint": inside}
		}
		m, err := Discover(t.Context(), server.Client(), server.URL)
		if known, _ := json.Marshal(m); err == nil && strings.Contains(string(known), "127.0.0.1:2375") || err != nil && !errors.Is(err, httpclient.ErrMalformed) {
			t.Errorf("D39 %s: %s, %v", field, known, err)
		}
	}
	field = ""
	if _, err := FindResource(t.Context(), server.Client(), server.URL, &Challenge{}); err != nil {
		t.Fatal(err)
	}
	field, value = "authorization_servers", []string{server.URL, "http://localhost:8080"}
	if _, err := FindResource(t.Context(), server.Client(), server.URL, &Challenge{}); !errors.Is(err, httpclient.ErrMalformed) {
		t.Errorf("D39 %s: %v", field, err)
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte(`{"issuer":"https://x","authorization_endpoint":"https://x/a","token_endpoint":"https://x/t"}`))
	f.Add([]byte(`{"authorization_endpoint":"javascript:x","token_endpoint":"-x"}`))
	f.Add([]byte(`{"token_endpoint":"https://x/t","mtls_endpoint_aliases":{"token_endpoint":"file:///x","jwks_uri":"https://x/j"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var m Metadata
		if json.Unmarshal(text, &m) != nil || m.Check() != nil {
			return
		}
		aliased, err := m.ForCertificate()
		if err != nil {
			aliased = &m
		}
		for _, endpoint := range append(m.endpoints(), aliased.endpoints()...) {
			if url := *endpoint.url; url == "" && endpoint.required || url != "" && !strings.HasPrefix(strings.ToLower(url), "http") {
				t.Fatalf("the %s %q is accepted", endpoint.name, url)
			}
		}
	})
}

// An issuer with a wrong path is the usual slip: the user sees which URLs were tried.
func TestDiscover_NamesBothURLsThatItTried(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	_, err := Discover(t.Context(), server.Client(), server.URL+"/realms/acme")
	want := "no metadata at " + server.URL + "/realms/acme/.well-known/openid-configuration (404 Not Found) or at " +
		server.URL + "/.well-known/oauth-authorization-server/realms/acme (404 Not Found)"
	var status *httpclient.StatusError
	if err == nil || err.Error() != want || !errors.As(err, &status) {
		t.Errorf("%v", err)
	}
}

// odd is a server with metadata as the given members have it.
func odd(t *testing.T, members string) *authservertest.Scripted {
	t.Helper()
	return authservertest.StartScripted(t, map[string][]authservertest.Response{
		"/.well-known/openid-configuration": {{Body: `{"issuer":"ISSUER","token_endpoint":"ISSUER/token","authorization_endpoint":"ISSUER/authorize"` + members + `}`}},
	})
}

func TestDiscover_IgnoresOddOptionalMembers(t *testing.T) {
	for _, members := range []string{
		`,"scopes_supported":"openid profile"`, `,"scopes_supported":["openid",7]`, `,"revocation_endpoint":null`, `,"revocation_endpoint":{}`,
		`,"code_challenge_methods_supported":true`, `,"require_pushed_authorization_requests":"false"`, `,"mtls_endpoint_aliases":[]`,
		`,"userinfo_endpoint":"/userinfo"`, `,"userinfo_endpoint":"http://elsewhere.example/userinfo"`, `,"end_session_endpoint":""`,
		`,"registration_endpoint":"not a URL"`, `,"device_authorization_endpoint":"javascript:x"`, `,"jwks_uri":"http://elsewhere.example"`,
		`,"mtls_endpoint_aliases":{"token_endpoint":"http://elsewhere.example"}`,
	} {
		server := odd(t, members)
		m, err := Discover(t.Context(), server.Client(), server.URL)
		if err != nil || m.TokenEndpoint != server.URL+"/token" {
			t.Errorf("%s: %v", members, err)
			continue
		}
		for _, endpoint := range append(m.endpoints(), endpoint{url: new(string)}) {
			if *endpoint.url != "" && !strings.HasPrefix(*endpoint.url, server.URL) {
				t.Errorf("%s: the %s is %q", members, endpoint.name, *endpoint.url)
			}
		}
		if _, err := m.ForCertificate(); err != nil {
			t.Errorf("%s: %v", members, err)
		}
	}
}

func TestDiscover_NamesTheRequiredMember(t *testing.T) {
	for members, want := range map[string]string{
		`,"token_endpoint":7`:                          "token_endpoint",
		`,"token_endpoint":"/token"`:                   "token_endpoint",
		`,"authorization_endpoint":"http://a.example"`: "authorization_endpoint",
		`,"issuer":["x"]`:                              "issuer",
	} {
		name, _, _ := strings.Cut(members[2:], `"`)
		body := `{"issuer":"ISSUER","token_endpoint":"ISSUER/token","authorization_endpoint":"ISSUER/authorize"`
		body = strings.Replace(body, `"`+name+`"`, `"was"`, 1) + members + "}"
		server := authservertest.StartScripted(t, map[string][]authservertest.Response{"/.well-known/openid-configuration": {{Body: body}}})
		if _, err := Discover(t.Context(), server.Client(), server.URL); !errors.Is(err, httpclient.ErrMalformed) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", members, err)
		}
	}
}

// Servers of single-page applications answer every path with the application.
func TestDiscover_ContinuesAfterAPage(t *testing.T) {
	server := authservertest.StartScripted(t, map[string][]authservertest.Response{
		"/.well-known/openid-configuration":       {{Header: http.Header{"Content-Type": {"text/html"}}, Body: "<!doctype html><title>Home</title>"}},
		"/.well-known/oauth-authorization-server": {{Body: "\ufeff" + `{"issuer":"ISSUER","token_endpoint":"ISSUER/token"}`}},
	})
	if m, err := Discover(t.Context(), server.Client(), server.URL); err != nil || m.OpenID {
		t.Errorf("%+v, %v", m, err)
	}
}
