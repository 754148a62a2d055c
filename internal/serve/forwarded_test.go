package serve

import (
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

const proxyAddress = "10.0.0.1"

func forwardingServer() *Server {
	return New(Options{Log: slog.New(slog.DiscardHandler), Now: time.Now, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
}

func clientOf(s *Server, xForwardedFor, forwarded []string) string {
	r := httptest.NewRequest("GET", "/verify", nil)
	r.RemoteAddr = proxyAddress + ":1"
	if xForwardedFor != nil {
		r.Header["X-Forwarded-For"] = xForwardedFor
	}
	if forwarded != nil {
		r.Header["Forwarded"] = forwarded
	}
	return s.client(r).String()
}

func TestClient_Notations(t *testing.T) {
	s := forwardingServer()
	for _, test := range []struct{ xForwardedFor, want string }{
		{"198.51.100.7:5678", "198.51.100.7"},
		{"[2001:db8::1]:443", "2001:db8::1"},
		{"[2001:db8::1]", "2001:db8::1"},
		{"2001:db8::1", "2001:db8::1"},
		{`"[2001:db8::1]:443"`, "2001:db8::1"},
		{`"198.51.100.7"`, "198.51.100.7"},
		{"fe80::1%eth0", "fe80::1"},
		{"::ffff:198.51.100.7", "198.51.100.7"},
		{"6.6.6.6, 198.51.100.7:1, 10.0.0.2:80", "198.51.100.7"},
		{"6.6.6.6\t,\t198.51.100.7", "198.51.100.7"},
		{"6.6.6.6, unknown", proxyAddress},
		{"6.6.6.6, _hidden", proxyAddress},
		{"6.6.6.6, ", proxyAddress},
		{"6.6.6.6, 198.51.100.7:", proxyAddress},
		{"6.6.6.6, [198.51.100.7", proxyAddress},
		{"6.6.6.6, 198.51.100.7.", proxyAddress},
		{"6.6.6.6, localhost:80", proxyAddress},
		{"6.6.6.6, unknown, 10.0.0.2", "10.0.0.2"},
		{`"6.6.6.6, 198.51.100.7`, "198.51.100.7"},
		{`6.6.6.6", "198.51.100.7"`, "198.51.100.7"},
	} {
		if got := clientOf(s, []string{test.xForwardedFor}, nil); got != test.want {
			t.Errorf("X-Forwarded-For: %s: %s, not %s", test.xForwardedFor, got, test.want)
		}
	}
	for _, test := range []struct{ forwarded, want string }{
		{"for=198.51.100.7", "198.51.100.7"},
		{"FOR=198.51.100.7", "198.51.100.7"},
		{`for="198.51.100.7:5678"`, "198.51.100.7"},
		{`for="[2001:db8::1]:443";proto=https;by="_proxy"`, "2001:db8::1"},
		{"for=[2001:db8::1]", "2001:db8::1"},
		{`for="[2001:db8::1]:_port"`, "2001:db8::1"},
		{"for=6.6.6.6, for=198.51.100.7;host=example.com, for=10.0.0.2", "198.51.100.7"},
		{`proto=http;host="a, for=6.6.6.6; x";for=198.51.100.7`, "198.51.100.7"},
		{`for=198.51.100.7 ; proto=http , for=10.0.0.2`, "198.51.100.7"},
		{"for=6.6.6.6, for=_hidden", proxyAddress},
		{"for=6.6.6.6, for=unknown", proxyAddress},
		{"for=6.6.6.6, proto=http", proxyAddress},
		{"for=6.6.6.6;for=198.51.100.7", proxyAddress},
		{"for=6.6.6.6, for=", proxyAddress},
		{"for=6.6.6.6, 198.51.100.7", proxyAddress},
		{`for="6.6.6.6`, proxyAddress},
		{`for=6.6.6.6;x="\"", for=198.51.100.7`, proxyAddress},
		{"", proxyAddress},
	} {
		if got := clientOf(s, nil, []string{test.forwarded}); got != test.want {
			t.Errorf("Forwarded: %s: %s, not %s", test.forwarded, got, test.want)
		}
	}
}

// A client may send the header that its proxy does not set.
func TestClient_OtherHeaderIsNoDisguise(t *testing.T) {
	s := forwardingServer()
	for _, test := range []struct{ xForwardedFor, forwarded, want string }{
		{"198.51.100.7", "for=6.6.6.6", proxyAddress},
		{"6.6.6.6", "for=198.51.100.7", proxyAddress},
		{"198.51.100.7", "for=_hidden", proxyAddress},
		{proxyAddress, "for=6.6.6.6", proxyAddress},
		{"garbage", "for=6.6.6.6", proxyAddress},
		{"", "for=6.6.6.6", proxyAddress},
		{"198.51.100.7:1", `6.6.6.6=x, for="198.51.100.7:1"`, proxyAddress},
		{"198.51.100.7:1", `for="198.51.100.7:2"`, "198.51.100.7"}, // a proxy that sets both
	} {
		if got := clientOf(s, []string{test.xForwardedFor}, []string{test.forwarded}); got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
}

// Whatever a client sends in front of what the proxy appends: it counts as itself, or, if it
// makes the header malformed, as the proxy.
func FuzzForwardedFor(f *testing.F) {
	for _, seed := range []string{
		"6.6.6.6", `"6.6.6.6`, `for="`, `for=6.6.6.6;x="`, `for=6.6.6.6;x="\`, `for=6.6.6.6;x="\"`, "[", ",", "=", "for=", `;host="`, `,for=6.6.6.6;y=`, "10.0.0.9", "for=10.0.0.9",
	} {
		f.Add(seed, seed)
	}
	s := forwardingServer()
	f.Fuzz(func(t *testing.T, sent, host string) {
		const client = "198.51.100.7"
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(host) + `"` // as a proxy sends it
		for _, element := range []string{"for=" + client, `for="` + client + `:1"`, "for=" + client + ";host=" + quoted, "host=" + quoted + ";for=" + client} {
			if got := clientOf(s, nil, []string{sent + ", " + element}); got != client && got != proxyAddress {
				t.Errorf("Forwarded: %s, %s: %s", sent, element, got)
			}
			if got := clientOf(s, nil, []string{sent, element}); got != client && (got != proxyAddress || !strings.Contains(quoted, `\`)) {
				t.Errorf("Forwarded: %s and %s: %s", sent, element, got)
			}
		}
		r := httptest.NewRequest("GET", "/verify", nil) // httptest's peer is a stranger
		r.Header["X-Forwarded-For"], r.Header["Forwarded"] = []string{sent}, []string{sent}
		if got := s.client(r).String(); got != "192.0.2.1" {
			t.Errorf("a stranger is taken for %s", got)
		}
		for _, lines := range [][]string{{sent + ", " + client}, {sent + "," + client + ":1"}, {sent, client}} {
			if got := clientOf(s, lines, nil); got != client {
				t.Errorf("X-Forwarded-For: %q: %s", lines, got)
			}
			if got := clientOf(s, lines, []string{sent}); got != client && got != proxyAddress {
				t.Errorf("with Forwarded: %q: %s", sent, got)
			}
		}
	})
}

// One guesser must not lock out the good keys of others behind the same proxy.
func TestG60_GuesserBehindAProxyHasItsOwnBudget(t *testing.T) {
	f := newFixture(t, func(o *Options) {
		o.Guesses = 10
		o.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} // httptest's peer is 192.0.2.1
	})
	for _, test := range []struct{ guesser, other string }{
		{"X-Forwarded-For: 198.51.100.1:1", "X-Forwarded-For: 198.51.100.2:1"},
		{"X-Forwarded-For: [2001:db8:1::1]:1", "X-Forwarded-For: [2001:db8:2::1]:1"},
		{"Forwarded: for=198.51.100.3", "Forwarded: for=198.51.100.4"},
		{`Forwarded: for="[2001:db8:3::1]:1"`, `Forwarded: for="[2001:db8:4::1]:1"`},
	} {
		guess := func() int {
			return f.ask("GET", "/verify", "Authorization: Bearer nonsense-nonsense-nonsense", test.guesser).StatusCode
		}
		f.until(t, func() bool { return guess() == 429 })
		good, _ := f.key(t, draft) // not in memory
		if r := f.ask("GET", "/verify", "Authorization: Bearer "+good, test.other); r.StatusCode != 200 {
			t.Errorf("G60 %s: %d", test.other, r.StatusCode)
		}
	}
}
