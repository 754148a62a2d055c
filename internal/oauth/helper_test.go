package oauth

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/secret"
)

// atServer starts a test issuer and returns a public client of it.
func atServer(t *testing.T, opts authservertest.Options) (*authservertest.Server, *Client) {
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
	m, err := discovery.Discover(t.Context(), hc, server.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	return server, &Client{HTTP: hc, Metadata: m, ClientID: "fob-test", Now: time.Now}
}

func injectFault(t *testing.T, s *authservertest.Server, fault string) {
	t.Helper()
	if err := s.InjectFault(fault, 1); err != nil {
		t.Fatal(err)
	}
}

// answering is a client of a token endpoint that always gives the same answer,
// and counts.
func answering(t *testing.T, handler http.HandlerFunc) (*Client, *atomic.Int32) {
	t.Helper()
	requests := new(atomic.Int32)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		handler(w, r)
	}))
	t.Cleanup(server.Close)
	hc, err := httpclient.New(httpclient.Options{Timeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	m := &discovery.Metadata{TokenEndpoint: server.URL + "/token", RevocationEndpoint: server.URL + "/revoke"}
	return &Client{HTTP: hc, Metadata: m, ClientID: "fob", Now: time.Now}, requests
}

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

var someToken = secret.New("refresh-token")
