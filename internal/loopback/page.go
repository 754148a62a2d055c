package loopback

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// The page that the browser shows at the end. Its text is fixed: nothing from a server or a
// request is in it.
//
//go:embed page.html
var pageTemplate string

type page struct{ tone, title, text string }

var (
	successPage  = page{"good", "You are logged in", "You can close this window and go back to the terminal."}
	questionPage = page{"good", "One question is left", "Go back to the terminal to answer it. You can close this window."}
	failurePage  = page{"bad", "The login did not work", "The terminal shows why. You can close this window."}
	answeredPage = page{"bad", "Already answered", "An answer to this request came before. You can close this window."}
	strayPage    = page{"bad", "Not the answer that fob waits for", "Go back to the terminal: it shows the address to open."}
)

func (p page) html() string {
	return strings.NewReplacer("{tone}", p.tone, "{title}", p.title, "{text}", p.text).Replace(pageTemplate)
}

// contentSecurityPolicy allows only the page's own style, by its hash.
func contentSecurityPolicy() string {
	_, rest, _ := strings.Cut(pageTemplate, "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// setPageHeaders sets the headers of every response.
func setPageHeaders(h http.Header) {
	h.Set("Content-Security-Policy", contentSecurityPolicy())
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	h.Set("Allow", http.MethodGet)
	h.Set("Connection", "close")
}

// writeStray responds to a request that does not belong to the login, which goes on. If the
// URL has a query, perhaps with a code, it redirects to remove that from the address bar.
func writeStray(w http.ResponseWriter, req *http.Request, status int) {
	if req.URL.RawQuery != "" {
		w.Header().Set("Refresh", "0; url=/")
	}
	writePage(w, status, strayPage)
}

// writePage sends a complete page before the connection may be closed.
func writePage(w http.ResponseWriter, status int, p page) {
	text := p.html()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
	_ = http.NewResponseController(w).Flush()
}
