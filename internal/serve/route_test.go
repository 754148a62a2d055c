package serve

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/fobcli/fob/internal/apikey"
)

// guards are narrow rules with a wide one behind them, which draft's scope opens.
var guards = []Rule{
	{Path: "/admin", Need: apikey.Need{Scopes: []string{"admin:all"}}},
	{Path: "/secret/*", Need: apikey.Need{Scopes: []string{"admin:all"}}},
	{Path: "/pages/Über uns", Need: apikey.Need{Scopes: []string{"admin:all"}}},
	{Path: "/kiosk*", Need: apikey.Need{Scopes: []string{"admin:all"}}},
	{Path: "/dir/", Need: apikey.Need{Scopes: []string{"admin:all"}}},
	{Path: "/*", Need: apikey.Need{Scopes: []string{"orders:read"}}},
}

func newGuarded(t testing.TB, rules ...Rule) (*fixture, string) {
	t.Helper()
	f := newFixture(t, func(o *Options) {
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} // httptest's peer is 192.0.2.1
		o.Rules = rules
	})
	text, _ := f.key(t, draft)
	return f, text
}

// asks are the ways in which a proxy names the path that it asks about.
var asks = map[string]func(f *fixture, key, uri string) *http.Response{
	"X-Forwarded-Uri": func(f *fixture, key, uri string) *http.Response {
		return f.ask("GET", "/verify", "Authorization: Bearer "+key, "X-Forwarded-Uri: "+uri)
	},
	"X-Original-Uri": func(f *fixture, key, uri string) *http.Response {
		return f.ask("GET", "/verify", "Authorization: Bearer "+key, "X-Original-Uri: "+uri)
	},
	"X-Original-Url": func(f *fixture, key, uri string) *http.Response {
		return f.ask("GET", "/verify", "Authorization: Bearer "+key, "X-Original-Url: https://api.example:8443"+uri)
	},
	"Envoy": func(f *fixture, key, uri string) *http.Response {
		r := httptest.NewRequest("GET", "/verify/", nil)
		r.RequestURI = "/verify" + uri
		var err error
		if r.URL, err = url.ParseRequestURI(r.RequestURI); err != nil { // net/http answers 400 then
			return &http.Response{StatusCode: http.StatusBadRequest}
		}
		r.Header.Set("Authorization", "Bearer "+key)
		w := httptest.NewRecorder()
		f.server.ServeHTTP(w, r)
		return w.Result()
	},
}

// unclearPaths are refused before any rule is tried.
var unclearPaths = []string{
	// Cut off by some.
	"/admin#x", "/admin#", "/#/admin", "/admin%23x", "/admin;x", "/admin;x=y/z", "/;/admin", "/admin%3bx", "/admin%3Bx", "/admin%3fx", "/admin%00", "/admin%00.txt",
	// Decoded, resolved, merged or replaced by some.
	"//admin", "/admin//", "/secret//x", "/./admin", "/admin/.", "/x/../admin", "/x/..", "/..", "/%2e/admin", "/x/%2e%2e/admin", "/x/.%2e/admin", "/x/..%2fadmin", "/x%2fadmin",
	"/%2fadmin", "/secret%2fx", "/secret%2Fx", `/secret\x`, `\admin`, `/x\..\admin`, "/secret%5cx", "/x/..%5Cadmin", "/%61dmin", "/admi%6e", "/%41dmin", "/a%64min", "/x%2Dy", "/x%5fy", "/%7Epub", "/x%7e",
	"/%2561dmin", "/admin%252e", "/admin%2523", "/x/..;/admin", "/x/%2e%2e;/admin", "/x/..%3b/admin",
	// Trimmed by some.
	"/admin.", "/admin..", "/admin...", "/admin./", "/admin%2e", "/secret./x", "/admin%20", "/admin%20/", "/secret%20/x", "/%20admin", "/admin%20.", "/admin%09", "/admin%0a", "/admin%0d%0a",
	"/admin%c2%a0", "/admin%e3%80%80", "/admin%ef%bb%bf", "/admin%e2%80%a8", "/admin::$DATA", "/admin%3a%3a%24DATA", "/admin:$i30:$INDEX_ALLOCATION",
	// No path by RFC 3986.
	"/admin x", "/admin ", " /admin", "/admin\t", "/admin\x01", "/admin\x7f", "/admin\xa0", "/größe", "/admin%", "/admin%2", "/admin%zz", "/%u0061dmin", "/admin%+1", "/<admin>", `/"admin"`, "/`admin`",
	"/{admin}", "/admin%7f", "/admin%c2%85",
	// No UTF-8: overlong, surrogates, Latin-1.
	"/admin%c0%af", "/%c0%ae%c0%ae/admin", "/%e0%80%af", "/%ed%a0%80", "/admin%e4", "/%f8%80%80%80%af", "/%ff",
	// ASCII to those that convert what they do not know.
	"/secret%ef%bc%8fx", "/x/%ef%bc%8e%ef%bc%8e/admin", "/admin%ef%bc%8e", "/admin%ef%bc%83x", "/admin%ef%bc%9bx", "/admin%ef%bc%9fx", "/secret%ef%bc%bcx", "/%ef%bc%8561dmin",
	"/%ef%bd%81dmin",
	// Decomposed.
	"/pages/U%CC%88ber%20uns", "/%E3%81%8B%E3%82%99", "/%E1%84%80%E1%85%A1",
	// Equal but for a plus, or for what cannot be seen.
	"/pages/%C3%9Cber+uns", "/ad%E2%80%8Bmin", "/admin%C2%AD", "/secret%E2%80%8D/x", "/x/.%E2%80%8D./admin", "/%E2%80%8D/admin",
	// Equal to those that trim a plus as the space it may stand for.
	"/admin+", "/admin+/", "/admin++", "/+admin", "/+/admin", "/admin/+", "/admin%2B", "/admin%EF%BC%8B", "/Admin+", "/secret+/x", "/+secret+/+x+", "/dir+", "/+kiosk.json",
	// Equal but for case.
	"/Admin", "/ADMIN", "/admIn/", "/Secret", "/SECRET/x", "/secreT/", "/pages/%C3%BCber%20uns", "/pages/%C3%9CBER%20UNS", "/%E2%84%AAiosk", "/KIOSKS", "/%C5%BFecret/x", "/adm%C4%B1n", "/ADM%C4%B0N", "/DIR",
	// No path.
	"*", "x", "?", "?/admin", "http:", "http://", "http://x", "http:///admin", `http://x\y/orders`, "http://x#/orders", "http://user@x/orders", "ftp://x/orders", "://x/y",
}

// guardedPaths need what guards guard with.
var guardedPaths = []string{
	"/admin", "/admin/", "/admin?x", "/admin/?x", "/secret", "/secret/", "/secret?x=/y", "/secret/x", "/secret/x/", "/secret/X.txt", "/secret/+", "/pages/%C3%9Cber%20uns", "/pages/%c3%9cber%20uns/",
	"/kiosk", "/kiosk/", "/kiosks", "/kiosk.json", "/kiosk/x", "/dir", "/dir/",
}

// openPaths are those of the wide rule, and legitimate.
var openPaths = []string{
	"/", "/?", "/?a=b", "/orders/1", "/orders/1/", "/orders/1?x=%2f..;#a\\b//%zz&y=a b", "/orders?/admin", "/orders?next=http://x/../admin", "/Orders/ABC", "/administrator", "/admin.json",
	"/a+b", "/c++", "/~user", "/+49/c++/+", "/@me", "/me%40example", "/v1/orders:cancel", "/a:b@c", "/a,b", "/a=b&c", "/(a)!*'", "/$count", "/%24count", "/a-b_c.d", "/.well-known/x", "/a..b", "/a%20b",
	"/a|b", "/a[0]", "/a^b", "/%7B%22id%22%7D", "/gr%C3%B6%C3%9Fe", "/%E6%97%A5%E6%9C%AC", "/%F0%9F%94%91", "/a%EF%BC%81", "/%E3%81%8C", "/%EA%B0%80", "/%E0%B8%81%E0%B8%B3", "/%E2%80%8Ca", "/pages/a+b", "/pages/a%20b", "/secrets", "/secre", "/dir/x",
}

func TestI72_PathsThatParsersReadDifferently(t *testing.T) {
	f, key := newGuarded(t, guards...)
	for name, ask := range asks {
		for _, uri := range unclearPaths {
			if name == "X-Original-Url" && strings.Contains(uri, "//x") || name == "X-Original-Url" && uri[0] == 'h' || name == "Envoy" && uri[0] != '/' {
				continue // of another form
			}
			if r := ask(f, key, uri); r.StatusCode != http.StatusBadRequest {
				t.Errorf("I72: %s %q: %d, not 400", name, uri, r.StatusCode)
			}
		}
		for _, uri := range guardedPaths {
			if r := ask(f, key, uri); r.StatusCode != http.StatusForbidden {
				t.Errorf("I72: %s %q: %d, not 403", name, uri, r.StatusCode)
			}
		}
		for _, uri := range openPaths {
			if r := ask(f, key, uri); r.StatusCode != http.StatusOK {
				t.Errorf("I72: %s %q: %d, not 200", name, uri, r.StatusCode)
			}
		}
	}
}

// nginx knows 401 and 403 alone, and gets the reason.
func TestI72_ReasonForNginx(t *testing.T) {
	f := newFixture(t, func(o *Options) {
		o.TrustedProxies, o.Rules, o.OnlyAuthStatuses = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, guards, true
	})
	key, _ := f.key(t, draft)
	if r := asks["X-Original-Uri"](f, key, "/admin#x"); r.StatusCode != 403 || r.Header.Get("X-Fob-Reason") != "unclear_path" {
		t.Error(r.StatusCode, r.Header)
	}
}

func TestI72_AbsoluteForm(t *testing.T) {
	f, key := newGuarded(t, guards...)
	for uri, want := range map[string]int{
		"http://x/orders": 200, "HTTPS://api.example:8443/orders?x": 200, "http://[::1]:80/orders": 200, "http://x/": 200, "http://x/admin": 403, "http://x/secret": 403,
		"http://x/Admin": 400, "http://x/admin#y": 400, "http://x//admin": 400, "http://x?/orders": 400,
	} {
		if r := asks["X-Original-Uri"](f, key, uri); r.StatusCode != want {
			t.Errorf("I72: %q: %d, not %d", uri, r.StatusCode, want)
		}
	}
}

// A method that a client has made unclear must not pass over a rule.
func TestI72_Methods(t *testing.T) {
	f, key := newGuarded(t,
		Rule{Path: "/items/*", Methods: []string{"POST", "put"}, Need: apikey.Need{Scopes: []string{"admin:all"}}},
		Rule{Path: "/reports/*", Methods: []string{"GET"}, Need: apikey.Need{Scopes: []string{"admin:all"}}},
		Rule{Path: "/*", Need: apikey.Need{Scopes: []string{"orders:read"}}})
	for _, test := range []struct {
		uri, headers string
		want         int
	}{
		{"/items/1", "X-Original-Method: GET", 200},
		{"/items/1", "X-Original-Method: POST", 403},
		{"/items/1", "X-Forwarded-Method: PUT", 403},
		{"/items/1", "X-Original-Method: post", 403},
		{"/items/1", "X-Original-Method: POST\nX-Forwarded-Method: GET", 400},
		{"/items/1", "X-Original-Method: POST\nX-Original-Method: GET", 400},
		{"/items/1", "X-Original-Method: POST\nX-Forwarded-Method: ", 400},
		{"/items/1", "", 400},
		{"/Items/1", "X-Original-Method: POST", 400},
		{"/Items/1", "X-Original-Method: GET", 200},
		{"/reports/1", "X-Original-Method: GET", 403},
		{"/reports/1", "X-Original-Method: HEAD", 403},
		{"/reports/1", "X-Original-Method: head", 403},
		{"/orders/1", "", 200},
	} {
		headers := []string{"Authorization: Bearer " + key, "X-Original-Uri: " + test.uri}
		if test.headers != "" {
			headers = append(headers, strings.Split(test.headers, "\n")...)
		}
		if r := f.ask("GET", "/verify", headers...); r.StatusCode != test.want {
			t.Errorf("I72: %+v: %d", test, r.StatusCode)
		}
	}
}

func TestI72_HeadersThatDiffer(t *testing.T) {
	f, key := newGuarded(t, guards...)
	for _, headers := range [][]string{
		{"X-Forwarded-Uri: /orders", "X-Original-Uri: /admin"},
		{"X-Original-Uri: /orders", "X-Original-Uri: /admin"},
		{"X-Original-Uri: ", "X-Original-Uri: /orders"},
		{"X-Original-Url: http://x/orders", "X-Original-Uri: /admin"},
	} {
		if r := f.ask("GET", "/verify", append(headers, "Authorization: Bearer "+key)...); r.StatusCode != 400 {
			t.Errorf("I72: %q: %d", headers, r.StatusCode)
		}
	}
	if r := f.bearer("/verify", key); r.StatusCode != 403 {
		t.Errorf("a proxy that names no path: %d", r.StatusCode)
	}
}

func TestI72_WarnsOfSpellings(t *testing.T) {
	admin, read := apikey.Need{Scopes: []string{"admin:all"}}, apikey.Need{Scopes: []string{"orders:read"}}
	both := apikey.Need{Scopes: []string{"orders:read", "admin:all"}}
	live := apikey.Need{Environment: "live"}
	for _, test := range []struct {
		rules []Rule
		warns bool
	}{
		{[]Rule{{Path: "/admin", Need: admin}, {Path: "/Admin", Need: read}}, true},
		{[]Rule{{Path: "/admin", Need: admin}, {Path: "/admin/", Need: read}}, true},
		{[]Rule{{Path: "/admin", Need: admin}, {Path: "/admin+", Need: read}}, true},
		{[]Rule{{Path: "/admin/", Need: admin}, {Path: "/admin", Need: read}}, true},
		{[]Rule{{Path: "/secret/*", Need: admin}, {Path: "/secret", Need: read}}, true},
		{[]Rule{{Path: "/secret/*", Need: admin}, {Path: "/Secret", Need: read}}, true},
		{[]Rule{{Path: "/secret/*", Need: admin}, {Path: "/SECRET/x/*", Need: read}}, true},
		{[]Rule{{Path: "/secret/x", Need: admin}, {Path: "/SECRET/*", Need: read}}, true},
		{[]Rule{{Path: "/größe", Need: admin}, {Path: "/GRÖSSE", Need: read}, {Path: "/GRÖßE", Need: read}}, true},
		{[]Rule{{Path: "/admin", Need: live}, {Path: "/Admin", Need: read}}, true},
		{[]Rule{{Path: "/x", Need: read}, {Path: "/admin", Methods: []string{"GET"}, Need: admin}, {Path: "/Admin", Methods: []string{"HEAD", "POST"}, Need: read}}, true},
		// A rule that grants no more, another method, other paths, and what is meant.
		{[]Rule{{Path: "/admin", Need: admin}, {Path: "/Admin", Need: both}}, false},
		{[]Rule{{Path: "/admin", Methods: []string{"GET"}, Need: admin}, {Path: "/Admin", Methods: []string{"POST"}, Need: read}}, false},
		{[]Rule{{Path: "/orders", Need: admin}, {Path: "/orders/*", Need: read}}, false},
		{[]Rule{{Path: "/orders/export", Need: admin}, {Path: "/orders/*", Need: read}, {Path: "/*", Need: read}}, false},
		{[]Rule{{Path: "/a", Need: admin}, {Path: "/B", Need: read}, {Path: "/b", Need: read}}, false},
		{guards, false},
	} {
		f, _ := newGuarded(t, test.rules...)
		if said := f.log.String(); strings.Contains(said, "another spelling") != test.warns {
			t.Errorf("I72: %+v:\n%s", test.rules, said)
		}
	}
}

func TestI72_RulesThatNothingMatches(t *testing.T) {
	for _, path := range []string{"", "x", "*", "/a*b", "/a/**", "//a", "/a/../b", "/a;b", "/a#b", "/a?b", "/gr%C3%B6%C3%9Fe", `/a\b`, "/a.", "/a /b", "/a\x00", "/\xff", "/a//*", "/a/./*"} {
		if CheckPath(path) == nil {
			t.Errorf("I72: %q is accepted", path)
		}
	}
	for _, path := range []string{"/", "/*", "/a", "/a/", "/a/*", "/a*", "/v1.*", "/größe/*", "/my files/*", "/a|b", "/.well-known/*"} {
		if err := CheckPath(path); err != nil {
			t.Errorf("%q: %s", path, err)
		}
	}
}

// readings are how parsers of other makes come from a URI to a path. Each is a model, and
// crueller than what it is a model of.
var readings = map[string]func(uri string) string{
	"net/url": func(uri string) string {
		u, err := url.Parse(uri)
		if err != nil {
			return "(refused)"
		}
		return u.Path
	},
	"net/url of a request": func(uri string) string {
		u, err := url.ParseRequestURI(uri)
		if err != nil {
			return "(refused)"
		}
		return u.Path
	},
	"ServeMux": func(uri string) string {
		u, err := url.ParseRequestURI(uri)
		if err != nil {
			return "(refused)"
		}
		mux, reached := http.NewServeMux(), "(redirected)" // as no accepted path may be
		mux.HandleFunc("/", func(_ http.ResponseWriter, r *http.Request) { reached = r.URL.Path })
		mux.ServeHTTP(httptest.NewRecorder(), &http.Request{Method: "GET", URL: u, Header: http.Header{}, RequestURI: uri})
		return reached
	},
	"cut raw": func(uri string) string { return unescape(cutAt(uri, "?#; \t\r\n\x00\\")) },
	"cut decoded": func(uri string) string {
		uri, _, _ = strings.Cut(uri, "?")
		return cutAt(unescape(uri), "?#;\t\r\n\x00\\")
	},
	"decoded twice": func(uri string) string {
		uri, _, _ = strings.Cut(uri, "?")
		return unescape(unescape(uri))
	},
	"resolved before it is decoded": func(uri string) string {
		uri, _, _ = strings.Cut(uri, "?")
		return unescape(path.Clean(strings.ReplaceAll(uri, `\`, "/")))
	},
	"Windows": func(uri string) string {
		uri, _, _ = strings.Cut(uri, "?")
		segments := strings.Split(strings.ReplaceAll(bestFit(unescape(uri)), `\`, "/"), "/")
		for i, segment := range segments {
			segment, _, _ = strings.Cut(segment, "::$")
			segments[i] = strings.TrimRight(segment, ". ")
		}
		return path.Clean("/" + strings.Join(segments, "/"))
	},
	"decoded as a form": func(uri string) string {
		uri, _, _ = strings.Cut(uri, "?")
		return strings.ReplaceAll(unescape(strings.ReplaceAll(uri, "+", "%20")), " ", "+") // as fold does
	},
	"trimmed": func(uri string) string {
		uri, _, _ = strings.Cut(uri, "?")
		return strings.TrimFunc(unescape(uri), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == 0xfeff })
	},
}

func cutAt(s, at string) string {
	if i := strings.IndexAny(s, at); i >= 0 {
		return s[:i]
	}
	return s
}

// unescape decodes what it can.
func unescape(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		if len(s) > 2 {
			if decoded, err := url.PathUnescape(s[:3]); s[0] == '%' && err == nil {
				b.WriteString(decoded)
				s = s[3:]
				continue
			}
		}
		b.WriteByte(s[0])
		s = s[1:]
	}
	return b.String()
}

func bestFit(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 0xff01 && r <= 0xff5e && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			r -= 0xfee0
		}
		return r
	}, s)
}

// spelled is a path with a slash at its end, as rules see it.
func spelled(path string) string { return strings.TrimSuffix(path, "/") + "/" }

// FuzzRoute holds fob's reading of a path against those of others: what it accepts, they
// must not read as another path, nor as a guarded one that a wider rule opens.
func FuzzRoute(f *testing.F) {
	for _, uri := range slices.Concat(unclearPaths, guardedPaths, openPaths, []string{"http://x/orders", "http://x/admin#", "", "/a%EF%BC%9F"}) {
		f.Add(uri)
	}
	server := New(Options{Rules: guards, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, CacheSize: 1})
	f.Fuzz(func(t *testing.T, uri string) {
		got, folded, ok := readPath(uri)
		if !ok {
			return
		}
		if again, _, ok := readPath((&url.URL{Path: got}).EscapedPath()); !ok || again != got {
			t.Fatalf("%q: %q, and that %q %v", uri, got, again, ok)
		}
		r := httptest.NewRequest("GET", "/verify", nil)
		r.Header["X-Original-Uri"] = []string{uri}
		need, out := server.needOf(server.settings.Load(), r)
		if origin := strings.Index(uri, "://"); uri[0] != '/' {
			_, uri, _ = strings.Cut(uri[origin+3:], "/")
			uri = "/" + uri
		}
		for name, read := range readings {
			path := read(uri)
			if path == "(refused)" {
				continue
			}
			if spelled(path) != got && (name != "Windows" && name != "decoded as a form" || foldPath(spelled(path)) != folded) { // distinguished by folding
				t.Errorf("%q: fob reads %q, %s reads %q", uri, got, name, path)
			}
			if out != allowed || need.Scopes[0] == "admin:all" {
				continue
			}
			for _, equal := range []func(string) string{strings.ToLower, strings.ToUpper, foldPath} {
				path := equal(spelled(path))
				for _, guarded := range []string{"/admin/", "/pages/Über uns/", "/dir/"} {
					if path == equal(guarded) {
						t.Errorf("%q: %s reads %q, which %q guards", uri, name, path, guarded)
					}
				}
				for _, guarded := range []string{"/secret/", "/kiosk"} {
					if strings.HasPrefix(path, equal(guarded)) {
						t.Errorf("%q: %s reads %q, which %q guards", uri, name, path, guarded)
					}
				}
			}
		}
		if foldPath(folded) != folded {
			t.Errorf("%q: %q is not folded", uri, folded)
		}
	})
}

func BenchmarkReadPath(b *testing.B) {
	for _, uri := range []string{"/orders/1?x=y", "/gr%C3%B6%C3%9Fe/1"} {
		b.Run(fmt.Sprint(len(uri)), func(b *testing.B) {
			for b.Loop() {
				if _, _, ok := readPath(uri); !ok {
					b.Fatal(uri)
				}
			}
		})
	}
}
