// Package httpclient is fob's only HTTP client. It does not follow redirects of requests
// with secrets, limits bodies to a megabyte, and has a timeout for whole exchanges.
package httpclient

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/trace"
)

// Why an exchange was aborted, besides network errors.
var (
	ErrTooLarge = errors.New("the answer is too large")
	ErrRedirect = errors.New("refused a redirect")
)

const (
	maxBody        = 1 << 20 // bytes, after decompression
	maxRedirects   = 3
	defaultTimeout = 30 * time.Second

	// Connections are only reused for a few requests in a row: long-lived processes such as
	// the agent create a client per request and never close it. Shorter than Node's 5 s, so
	// that a login's code is not sent on a connection that the server is closing.
	idleTimeout = 4 * time.Second
)

// Options configures a client. The zero value is usable.
type Options struct {
	CAFile string // PEM certificates to trust besides the system's
	// A client certificate with its key, in PEM, for mutual TLS.
	CertificateFile, CertificateKeyFile string
	// A platform's own settings for its servers, such as those of a kubeconfig.
	Roots       []byte           // in PEM: trusted instead of the system's and CAFile's
	Certificate *tls.Certificate // in place of CertificateFile
	ServerName  string           // expected in the server's certificate; empty: the URL's host

	Timeout   time.Duration // for a whole exchange with its body; 0 is 30 s
	UserAgent string
}

// New returns a client. It honours the proxy variables, and cannot disable certificate
// verification.
func New(o Options) (*http.Client, error) {
	transport, err := NewTransport(o)
	if err != nil {
		return nil, err
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	return &http.Client{
		Transport:     &boundedTransport{next: transport, userAgent: o.UserAgent},
		CheckRedirect: checkRedirect,
		Timeout:       o.Timeout,
	}, nil
}

// NewTransport returns the transport of New's client, without limits for bodies and whole
// exchanges.
func NewTransport(o Options) (*http.Transport, error) {
	roots, err := rootsOf(o)
	if err != nil {
		return nil, err
	}
	certificate, err := certificateOf(o)
	if err != nil {
		return nil, err
	}
	// Any server that requests a certificate gets it: a self-signed one matches none of the
	// CAs that servers list (RFC 8705 §2.2).
	present := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return cmp.Or(certificate, &tls.Certificate{}), nil
	}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: o.ServerName, GetClientCertificate: present},
		TLSHandshakeTimeout:    10 * time.Second,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
	}, nil
}

const maxKeyFile, maxCertificates = 64 << 10, 16 << 20

// certificateOf reads the client certificate, if there is one. Its key file must be
// private.
func certificateOf(o Options) (*tls.Certificate, error) {
	if o.Certificate != nil || o.CertificateFile == "" {
		return o.Certificate, nil
	}
	chain, err := atomicfile.ReadRegular(o.CertificateFile, maxCertificates)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	key, err := atomicfile.ReadCredential(o.CertificateKeyFile, maxKeyFile)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate's key: %w", err)
	}
	chain, chainErr := sanitize.Decode(chain)
	key, keyErr := sanitize.Decode(key)
	pair, err := tls.X509KeyPair(chain, key)
	if err := cmp.Or(chainErr, keyErr, err); err != nil {
		return nil, fmt.Errorf("%s and %s do not hold a certificate and its key in PEM", o.CertificateFile, o.CertificateKeyFile)
	}
	return &pair, nil
}

// rootsOf returns Options.Roots if set, else the system's roots and those in CAFile, or nil
// for only the system's, which Go then loads when needed.
func rootsOf(o Options) (*x509.CertPool, error) {
	if o.Roots != nil {
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(o.Roots) {
			return nil, errors.New("the CA's certificate is not in PEM")
		}
		return roots, nil
	}
	if o.CAFile == "" {
		return nil, nil
	}
	pem, err := atomicfile.ReadRegular(o.CAFile, maxCertificates)
	if err != nil {
		return nil, fmt.Errorf("reading the CA file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if pem, err = sanitize.Decode(pem); err != nil || !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the CA file %s holds no PEM certificate", o.CAFile)
	}
	return roots, nil
}

// checkRedirect only allows redirects of GET requests without secrets, from https to https
// or within a loopback host.
func checkRedirect(next *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case first.Method != http.MethodGet || first.Header.Get("Authorization") != "":
		return redirectTo(next.URL)
	case len(via) > maxRedirects:
		return fmt.Errorf("%w: more than %d in a row", ErrRedirect, maxRedirects)
	case next.URL.Scheme == "https" && next.URL.User == nil:
		return nil
	case first.URL.Scheme == "http" && next.URL.Scheme == "http" && next.URL.Host == first.URL.Host:
		return nil
	}
	return redirectTo(next.URL)
}

// WithoutRedirects returns a client that follows no redirects, for requests with
// credentials in headers that net/http would send to other hosts.
func WithoutRedirects(hc *http.Client) *http.Client {
	client := *hc
	client.CheckRedirect = func(next *http.Request, _ []*http.Request) error { return redirectTo(next.URL) }
	return &client
}

func redirectTo(target *url.URL) error {
	return fmt.Errorf("%w to %s://%s", ErrRedirect, sanitize.Line(target.Scheme), sanitize.Line(target.Host))
}

// boundedTransport limits the size of bodies and adds fob's user agent.
type boundedTransport struct {
	next      http.RoundTripper
	userAgent string
}

func (b *boundedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	if b.userAgent != "" {
		req.Header.Set("User-Agent", b.userAgent)
	}
	req.Header.Del("Referer")
	roundTrip := b.next.RoundTrip
	if trace.On(req.Context()) {
		roundTrip = func(req *http.Request) (*http.Response, error) { return traced(req, b.next.RoundTrip) }
	}
	resp, err := roundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &cappedBody{ReadCloser: resp.Body, left: maxBody}
	return resp, nil
}

// cappedBody returns an error at the limit, where io.LimitReader would return EOF.
type cappedBody struct {
	io.ReadCloser
	left int
}

func (c *cappedBody) Read(p []byte) (int, error) {
	if c.left < 0 {
		return 0, ErrTooLarge
	}
	if len(p) > c.left+1 {
		p = p[:c.left+1]
	}
	n, err := c.ReadCloser.Read(p)
	if c.left -= n; c.left < 0 {
		return n + c.left, ErrTooLarge
	}
	return n, err
}

// StatusError is a response with a status other than 2xx.
type StatusError struct {
	Status int
	Host   string
	Header http.Header
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s answered %d %s", sanitize.Line(e.Host), e.Status, http.StatusText(e.Status))
}

// IsTemporary reports whether a retry may succeed: 5xx, 408 and 429 (RFC 9110 §15.5.9,
// §15.6, RFC 6585 §4).
func IsTemporary(status int) bool {
	return status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}

// Response is a response with its whole body.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends a request and reads the response. A failure is ErrUnavailable, except fob's own
// refusals and an interrupt.
func Do(hc *http.Client, req *http.Request) (*Response, error) {
	resp, err := hc.Do(req)
	if err == nil {
		defer resp.Body.Close()
		body, readErr := io.ReadAll(resp.Body)
		if readErr == nil {
			return &Response{resp.StatusCode, resp.Header, body}, nil
		}
		err = fmt.Errorf("reading from %s: %w", sanitize.Line(req.URL.Host), readErr)
	}
	if ctx := req.Context(); ctx.Err() != nil { // HTTP/2 reports "canceled" for any cause
		err = context.Cause(ctx)
	}
	return nil, classify(err)
}

// GetJSON reads a JSON object into v. A member of the wrong type counts as absent: servers have
// odd ideas of members that fob may not even need. The errors are those of Do, *StatusError for
// any status but 2xx unless it is temporary, and ErrNotJSON.
func GetJSON(ctx context.Context, hc *http.Client, rawURL string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return err
	}
	return DoJSON(hc, req, v)
}

// DoJSON is GetJSON for a prepared request.
func DoJSON(hc *http.Client, req *http.Request, v any) error {
	req.Header.Set("Accept", "application/json")
	resp, err := Do(hc, req)
	if err != nil {
		return err
	}
	switch status := (&StatusError{resp.Status, req.URL.Host, resp.Header}); {
	case IsTemporary(resp.Status):
		return fmt.Errorf("%w: %s", ErrUnavailable, status.Error())
	case resp.Status < 200 || resp.Status > 299:
		return status
	}
	err = json.Unmarshal(bytes.TrimPrefix(resp.Body, []byte("\ufeff")), v)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); err != nil && (!ok || wrong.Field == "") {
		return fmt.Errorf("%w: %s %w", ErrMalformed, sanitize.Line(req.URL.Host), ErrNotJSON)
	}
	return nil
}
