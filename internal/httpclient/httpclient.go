// Package httpclient is the one HTTP client of fob. It follows no redirect with a
// request that carries secrets, reads no more than a megabyte, and ends every
// exchange at a total deadline.
package httpclient

import (
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

// Why an exchange was given up, beside the errors of the network.
var (
	ErrTooLarge = errors.New("the answer is too large")
	ErrRedirect = errors.New("refused a redirect")
)

const (
	maxBody        = 1 << 20 // bytes, after decompression
	maxRedirects   = 3
	defaultTimeout = 30 * time.Second

	// A process that lives long, such as the agent, makes a client for each request that
	// it serves, and nobody closes it. A few requests in a row share a connection. Node
	// ends an idle one after 5 s: the code of a login could be sent to it at that moment.
	idleTimeout = 4 * time.Second
)

// Options set up a client. The zero value is a good one.
type Options struct {
	CAFile string // PEM certificates to trust besides the system's
	// The client's own certificate with its key, in PEM, for servers that ask for one.
	CertificateFile, CertificateKeyFile string
	// What a platform's own settings say of its servers, such as a kubeconfig.
	Roots       []byte           // in PEM: trusted instead of the system's and CAFile's
	Certificate *tls.Certificate // in place of CertificateFile
	ServerName  string           // whose certificate it must be; empty: the URL's host

	Timeout   time.Duration // for a whole exchange with its body; 0 is 30 s
	UserAgent string
}

// New makes a client. It honours the proxy variables, and has no way to turn
// certificate checks off.
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

// NewTransport makes what is below New's client: it bounds no body and no exchange as a
// whole.
func NewTransport(o Options) (*http.Transport, error) {
	roots, err := rootsOf(o)
	if err != nil {
		return nil, err
	}
	certificate, err := certificateOf(o)
	if err != nil {
		return nil, err
	}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, ServerName: o.ServerName, GetClientCertificate: presentCertificate(certificate)},
		TLSHandshakeTimeout:    10 * time.Second,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
	}, nil
}

const maxKeyFile, maxCertificates = 64 << 10, 16 << 20

// certificateOf reads the client's certificate, if there is one. Its key must be private
// to the user.
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
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s do not hold a certificate and its key in PEM", o.CertificateFile, o.CertificateKeyFile)
	}
	return &pair, nil
}

// presentCertificate returns the client certificate to any server that asks for one,
// whatever CAs it names: a self-signed one matches none of them (RFC 8705 §2.2).
func presentCertificate(certificate *tls.Certificate) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return cmp.Or(certificate, &tls.Certificate{}), nil
	}
}

// rootsOf returns the sole roots that are given, else those of rootsWith.
func rootsOf(o Options) (*x509.CertPool, error) {
	if o.Roots == nil {
		return rootsWith(o.CAFile)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(o.Roots) {
		return nil, errors.New("the CA's certificate is not in PEM")
	}
	return roots, nil
}

// rootsWith returns the system's roots and those of a file, or nil for the
// system's alone, which Go loads when it needs them.
func rootsWith(caFile string) (*x509.CertPool, error) {
	if caFile == "" {
		return nil, nil
	}
	pem, err := atomicfile.ReadRegular(caFile, maxCertificates)
	if err != nil {
		return nil, fmt.Errorf("reading the CA file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the CA file %s holds no PEM certificate", caFile)
	}
	return roots, nil
}

// checkRedirect lets a GET without secrets go on, from https to https or on the
// same loopback host, and nothing else.
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

// WithoutRedirects is a client that follows none. Its requests hold credentials in
// headers that net/http knows nothing of, and would take along to another host.
func WithoutRedirects(hc *http.Client) *http.Client {
	own := *hc
	own.CheckRedirect = func(next *http.Request, _ []*http.Request) error { return redirectTo(next.URL) }
	return &own
}

func redirectTo(target *url.URL) error {
	return fmt.Errorf("%w to %s://%s", ErrRedirect, sanitize.Line(target.Scheme), sanitize.Line(target.Host))
}

// boundedTransport limits the size of each body and adds fob's user agent.
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

// cappedBody fails, where io.LimitReader would end a body as if it were whole.
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

// StatusError is an answer with another status than 200.
type StatusError struct {
	Status int
	Host   string
	Header http.Header
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s answered %d %s", sanitize.Line(e.Host), e.Status, http.StatusText(e.Status))
}

// IsTemporary reports whether another try may get a better status: 5xx, 408 and 429
// (RFC 9110 §15.5.9, §15.6, RFC 6585 §4).
func IsTemporary(status int) bool {
	return status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}

// GetJSON reads a JSON document into v. Any status but 200 is a *StatusError.
func GetJSON(ctx context.Context, hc *http.Client, rawURL string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return err
	}
	return DoJSON(hc, req, v)
}

// DoJSON is GetJSON for a request that is made already.
func DoJSON(hc *http.Client, req *http.Request, v any) error {
	req.Header.Set("Accept", "application/json")
	resp, err := hc.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return &StatusError{Status: resp.StatusCode, Host: req.URL.Host, Header: resp.Header}
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("reading from %s: %w", req.URL.Host, err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%s did not answer with the JSON that was asked for", sanitize.Line(req.URL.Host))
	}
	return nil
}
