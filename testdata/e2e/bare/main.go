// Bare answers every request as fob serve answers a good key, and does nothing for it:
// what net/http itself takes. With a URL behind the address it hands all requests on, as
// httputil does it: what fob proxy is measured beside.
package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"
)

func main() {
	l, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	id, owner, env, scopes, metadata, noStore := []string{"0AAAAAAAAAAA"}, []string{"team-1"}, []string{"live"}, []string{"orders:read orders:write"}, []string{"{}"}, []string{"no-store"}
	server := &http.Server{
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h["X-Fob-Key-Id"], h["X-Fob-Owner"], h["X-Fob-Env"], h["X-Fob-Scopes"], h["X-Fob-Metadata"], h["Cache-Control"] = id, owner, env, scopes, metadata, noStore
			w.WriteHeader(http.StatusOK)
		}),
	}
	if len(os.Args) > 2 {
		server.Handler = reverse(os.Args[2])
	}
	_ = server.Serve(l)
}

func reverse(to string) http.Handler {
	upstream, err := url.Parse(to)
	if err != nil {
		panic(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(upstream) }, Transport: transport}
}
