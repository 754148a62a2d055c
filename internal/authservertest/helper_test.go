package authservertest

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

const (
	callback = "http://127.0.0.1:1/callback"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B
)

func start(t *testing.T, opts Options) *Server {
	t.Helper()
	s, err := Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// request is a good authorization request, changed by pairs of name and value;
// the value "-" drops a parameter.
func request(pairs ...string) url.Values {
	q := url.Values{
		"response_type": {"code"}, "client_id": {"fob-test"}, "redirect_uri": {callback},
		"scope": {"openid email offline_access"}, "prompt": {"consent"},
		"state": {strings.Repeat("s", 22)}, "nonce": {strings.Repeat("n", 22)},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
	}
	return change(q, pairs)
}

func change(q url.Values, pairs []string) url.Values {
	for pair := range slices.Chunk(pairs, 2) {
		q.Set(pair[0], pair[1])
		if pair[1] == "-" {
			q.Del(pair[0])
		}
	}
	return q
}

// code logs in and returns what the browser brings back.
func (s *Server) code(t *testing.T, q url.Values) url.Values {
	t.Helper()
	back, err := Redirect(t.Context(), s.Issuer()+"/authorize?"+q.Encode(), http.DefaultClient)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(back)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

func redemption(code string, pairs ...string) url.Values {
	return change(url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"fob-test"}, "code": {code},
		"redirect_uri": {callback}, "code_verifier": {verifier},
	}, pairs)
}

func refreshing(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "client_id": {"fob-test"}, "refresh_token": {token}}
}

// reply is what a test wants of an answer.
type reply struct {
	status int
	m      map[string]any
	header http.Header
}

func (r reply) text(name string) string {
	text, _ := r.m[name].(string)
	return text
}

func (s *Server) post(path string, form url.Values, basic ...string) reply {
	header := http.Header{}
	if len(basic) == 2 {
		req := http.Request{Header: header}
		req.SetBasicAuth(url.QueryEscape(basic[0]), url.QueryEscape(basic[1]))
	}
	return s.postWith(http.DefaultClient, path, form, header)
}

// postWith is post with an HTTP client and headers of one's own.
func (s *Server) postWith(hc *http.Client, path string, form url.Values, header http.Header) reply {
	header = header.Clone()
	header.Set("Content-Type", "application/x-www-form-urlencoded")
	return send(hc, http.MethodPost, s.Issuer()+path, header, form.Encode())
}

func send(hc *http.Client, method, target string, header http.Header, body string) reply {
	req, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		return reply{}
	}
	req.Header = header
	resp, err := hc.Do(req)
	if err != nil {
		return reply{}
	}
	defer resp.Body.Close()
	r := reply{status: resp.StatusCode, header: resp.Header}
	_ = json.NewDecoder(resp.Body).Decode(&r.m)
	return r
}

func (s *Server) login(t *testing.T) reply {
	t.Helper()
	r := s.post("/token", redemption(s.code(t, request()).Get("code")))
	if r.status != http.StatusOK {
		t.Fatalf("%+v", r)
	}
	return r
}

// fetch is a page's status and text, its sum where it is long.
func fetch(t *testing.T, hc *http.Client, target, bearer string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	resp, err := hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if len(text) > 1<<20 {
		text = fmt.Appendf(nil, "%x", sha256.Sum256(text))
	}
	return fmt.Sprint(resp.StatusCode, " ", string(text), " ", err)
}

// trusting is a client that knows the server's certificate.
func trusting(t *testing.T, s *Server) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(s.CACertPEM()) {
		t.Fatal("the CA is no certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}
