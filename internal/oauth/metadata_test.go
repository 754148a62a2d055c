package oauth

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/httpclient"
)

func TestDiscover(t *testing.T) {
	for name, opts := range map[string]authservertest.Options{
		"OpenID": {}, "OpenID below a path": {Path: "/realms/acme"}, "RFC 8414": {NoOpenID: true}, "RFC 8414 below a path": {NoOpenID: true, Path: "/realms/acme"},
	} {
		server, c := atServer(t, opts)
		if c.Metadata.Issuer != server.Issuer() || c.Metadata.OpenID == opts.NoOpenID || !c.Metadata.IssParameterSupported {
			t.Errorf("%s: %+v", name, c.Metadata)
		}
	}
}

func TestD38IssuerMustMatch(t *testing.T) {
	server, c := atServer(t, authservertest.Options{})
	for _, fault := range []string{"discovery-issuer", "discovery-slash", "discovery-case"} {
		arm(t, server, fault)
		if _, err := Discover(t.Context(), c.HTTP, server.Issuer()); !errors.Is(err, ErrMalformed) || !errors.Is(err, ErrOtherIssuer) {
			t.Errorf("D38 %s: %v", fault, err)
		}
	}
	if _, err := Discover(t.Context(), c.HTTP, server.Issuer()+"/"); err == nil {
		t.Error("D38: an issuer with a slash too many is accepted")
	}
}

func TestD40Bounded(t *testing.T) {
	server, c := atServer(t, authservertest.Options{})
	arm(t, server, "discovery-huge")
	if _, err := Discover(t.Context(), c.HTTP, server.Issuer()); !errors.Is(err, httpclient.ErrTooLarge) {
		t.Errorf("D40 3 MiB: %v", err)
	}
	for _, fault := range []string{"discovery-500", "discovery-429"} {
		arm(t, server, fault)
		if _, err := Discover(t.Context(), c.HTTP, server.Issuer()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %v", fault, err)
		}
	}
	arm(t, server, "discovery-no-token")
	if _, err := Discover(t.Context(), c.HTTP, server.Issuer()); !errors.Is(err, ErrMalformed) || errors.Is(err, ErrOtherIssuer) {
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

func TestD39URLs(t *testing.T) {
	for _, good := range []string{"https://x", "https://x.example:8443/a/b?c=d&e=%20", "http://127.0.0.1:8080/x", "http://localhost", "http://[::1]:9/"} {
		if err := CheckURL(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{
		"", "http://sso.example.com", "http://127.0.0.1.evil.test", "http://localhost.evil.test", "file:///etc/passwd", "javascript:alert(1)",
		`\\host\x`, "-flag", "--app=https://x", "$(x)", "https://x/`id`", "https://x/\nhttps://y", "https://x/\x00", "https://x y", " https://x",
		"https://u@x", "https://u:p@x", "https://x#f", "https://", "https:x", "//x", "https://x/<script>", "https://x/\u202e", "HTTP://x", "https://x/\x1b[31m", "https://x/{y}",
	} {
		if CheckURL(bad) == nil {
			t.Errorf("D39 %q is accepted", bad)
		}
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
