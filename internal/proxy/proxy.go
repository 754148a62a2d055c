// Package proxy adds a credential to requests for some hosts, so that a program can use the
// credential without seeing it. Only that program knows the secret for this proxy.
package proxy

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/secret"
)

// Options configures a Proxy.
type Options struct {
	// Allow are the origins that requests may go to.
	Allow []Origin
	// Authorize sets the credential in a request's header, replacing one from the program.
	Authorize func(context.Context, http.Header) error
	// Refused is called when a host responds 401; may be nil.
	Refused func()
	// Transport verifies TLS and has timeouts.
	Transport http.RoundTripper
	// Log is called after each request, concurrently.
	Log func(Entry)
}

// Entry is a completed request. Its texts are the program's.
type Entry struct {
	Method, Host, Path string // without the query
	Status             int
	Err                error // why the host did not respond
}

// Proxy is a server on a loopback address. It accepts requests in absolute form, like any
// HTTP proxy (RFC 9112 §3.2.2), with the secret as the password, and requests below a base
// URL that contains the secret: /SECRET/HOST/PATH.
type Proxy struct {
	opts     Options
	origins  map[string]Origin // by host and port
	listener net.Listener
	server   *http.Server
	reverse  *httputil.ReverseProxy
	secret   secret.Secret
}

// Limits for the program.
const (
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)

// username is the user name that belongs to the secret.
const username = "fob"

// Listen creates a proxy on a free port of 127.0.0.1. Call Serve.
func Listen(ctx context.Context, opts Options) (*Proxy, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{opts: opts, listener: listener, origins: make(map[string]Origin), secret: secret.New(rand.Text())}
	for _, o := range opts.Allow {
		p.origins[o.Host] = o
	}
	quiet := log.New(io.Discard, "", 0)
	p.reverse = &httputil.ReverseProxy{Rewrite: p.rewrite, ModifyResponse: p.handleResponse, ErrorHandler: p.failed, Transport: opts.Transport, ErrorLog: quiet}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: readHeaderTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: quiet}
	return p, nil
}

// Serve handles requests until Close.
func (p *Proxy) Serve() error {
	if err := p.server.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close closes all connections.
func (p *Proxy) Close() error { return p.server.Close() }

// URL returns the proxy's URL with its secret, for HTTP_PROXY.
func (p *Proxy) URL() secret.Secret {
	return secret.New("http://" + username + ":" + p.secret.Reveal() + "@" + p.listener.Addr().String())
}

// BaseURL returns the URL below which /HOST/PATH is a path of a host.
func (p *Proxy) BaseURL() secret.Secret {
	return secret.New("http://" + p.listener.Addr().String() + "/" + p.secret.Reveal())
}

type target struct {
	url        *url.URL
	origin     Origin
	viaBaseURL bool // by the base URL
}

type targetKey struct{}

func targetOf(r *http.Request) target {
	t, _ := r.Context().Value(targetKey{}).(target)
	return t
}

type refusal struct {
	status int
	reason string
}

func (r *refusal) Error() string { return r.reason }

func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t, err := p.targetOf(r)
	if err != nil {
		p.refuse(w, r, err)
		return
	}
	p.reverse.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), targetKey{}, t)))
}

// targetOf returns where a request goes. It rejects TRACE, whose response would contain the
// credential, and CONNECT, because a credential cannot be added to a tunnel.
func (p *Proxy) targetOf(r *http.Request) (target, error) {
	t := target{}
	var err error
	switch {
	case r.Method == http.MethodConnect:
		return t, &refusal{http.StatusMethodNotAllowed, "this proxy cannot add a credential to https:// requests: write http://, which it sends on over https, or use --base-url"}
	case r.Method == http.MethodTrace:
		return t, &refusal{http.StatusMethodNotAllowed, "TRACE would show the credential"}
	case r.URL.IsAbs() && !p.isOwn(r):
		if !p.isSecret(password(r.Header.Get("Proxy-Authorization"))) {
			return t, &refusal{http.StatusProxyAuthRequired, "the proxy's password is wrong: use HTTP_PROXY as fob set it"}
		}
		t.url = r.URL
	default:
		t.viaBaseURL = true
		if t.url, err = p.rewriteBaseURL(r); err != nil {
			return t, err
		}
	}
	if t.url.User != nil || t.url.Scheme != "http" && t.url.Scheme != "https" {
		return t, &refusal{http.StatusBadRequest, "it takes http:// and https://, and no user in the URL"}
	}
	origin, allowed := p.origins[authority(t.url)]
	if !allowed {
		return t, &refusal{http.StatusForbidden, fmt.Sprintf("the host %q is not allowed: see --allow", t.url.Host)}
	}
	t.origin = origin
	return t, nil
}

// isOwn reports whether a request in absolute form is for the base URL: programs send those
// to the proxy too.
func (p *Proxy) isOwn(r *http.Request) bool { return r.URL.Host == p.listener.Addr().String() }

// rewriteBaseURL parses /SECRET/HOST/PATH. The Host header must be this address: with DNS
// rebinding, a browser sends another one.
func (p *Proxy) rewriteBaseURL(r *http.Request) (*url.URL, error) {
	given, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	if r.Host != p.listener.Addr().String() || !p.isSecret(given) {
		return nil, &refusal{http.StatusForbidden, "the base URL is wrong: use it as fob set it"}
	}
	host, path, _ := strings.Cut(rest, "/")
	u, err := url.Parse("http://" + host + "/" + path)
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, "the host in the path is none"}
	}
	u.RawQuery = r.URL.RawQuery
	return u, nil
}

func (p *Proxy) isSecret(given string) bool {
	return subtle.ConstantTimeCompare([]byte(given), []byte(p.secret.Reveal())) == 1
}

// password parses a header with the scheme Basic (RFC 7617).
func password(header string) string {
	scheme, encoded, _ := strings.Cut(header, " ")
	decoded, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || !strings.EqualFold(scheme, "Basic") {
		return ""
	}
	name, word, _ := strings.Cut(string(decoded), ":")
	if name != username {
		return ""
	}
	return word
}

// rewrite builds the request for the host. httputil has removed hop-by-hop headers,
// including the proxy's password.
func (p *Proxy) rewrite(r *httputil.ProxyRequest) {
	t := targetOf(r.In)
	out := *t.url
	out.Scheme, out.Host = t.origin.Scheme, t.origin.Host
	r.Out.URL, r.Out.Host = &out, ""
	maps.DeleteFunc(r.Out.Header, func(_ string, values []string) bool { // Referer may contain the base URL
		return slices.ContainsFunc(values, func(value string) bool { return strings.Contains(value, p.secret.Reveal()) })
	})
	if !strings.EqualFold(r.Out.Header.Get("Upgrade"), "websocket") { // other protocols could not be logged
		r.Out.Header.Del("Upgrade")
		r.Out.Header.Del("Connection")
	}
	if err := p.opts.Authorize(r.Out.Context(), r.Out.Header); err != nil {
		ctx, cancel := context.WithCancelCause(r.Out.Context())
		cancel(err) // then the transport sends nothing
		r.Out = r.Out.WithContext(ctx)
	}
}

func (p *Proxy) handleResponse(resp *http.Response) error {
	t := targetOf(resp.Request)
	if resp.StatusCode == http.StatusUnauthorized && p.opts.Refused != nil {
		p.opts.Refused()
	}
	if location := resp.Header.Get("Location"); location != "" {
		if next, err := resp.Request.URL.Parse(location); err == nil {
			p.redirect(resp.Header, t, next)
		}
	}
	p.opts.Log(Entry{Method: resp.Request.Method, Host: t.origin.Host, Path: t.url.EscapedPath(), Status: resp.StatusCode})
	return nil
}

// redirect makes the program send redirected requests to this proxy if the host is allowed.
// Other hosts are requested directly, without the credential.
func (p *Proxy) redirect(header http.Header, t target, next *url.URL) {
	origin, allowed := p.origins[authority(next)]
	if !allowed || next.User != nil || next.Scheme != origin.Scheme {
		return
	}
	next.Scheme = "http"
	location := next.String()
	if t.viaBaseURL {
		location = p.BaseURL().Reveal() + strings.TrimPrefix(location, "http:/")
	}
	header.Set("Location", location)
}

func (p *Proxy) failed(w http.ResponseWriter, r *http.Request, err error) {
	t := targetOf(r)
	if cause := context.Cause(r.Context()); cause != nil {
		err = cause
	}
	p.opts.Log(Entry{Method: r.Method, Host: t.origin.Host, Path: t.url.EscapedPath(), Status: http.StatusBadGateway, Err: err})
	writeError(w, http.StatusBadGateway, "no response from "+t.origin.Host)
}

func (p *Proxy) refuse(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusBadRequest
	if refused, ok := errors.AsType[*refusal](err); ok {
		status = refused.status
	}
	if status == http.StatusProxyAuthRequired {
		w.Header().Set("Proxy-Authenticate", `Basic realm="fob"`)
	}
	entry := Entry{Method: r.Method, Host: r.URL.Host, Status: status, Err: err}
	if r.URL.IsAbs() && !p.isOwn(r) { // otherwise it may contain the secret
		entry.Path = r.URL.EscapedPath()
	}
	p.opts.Log(entry)
	w.Header().Set("Connection", "close")
	writeError(w, status, err.Error())
}

func writeError(w http.ResponseWriter, status int, why string) {
	http.Error(w, "fob proxy: "+why, status)
}
