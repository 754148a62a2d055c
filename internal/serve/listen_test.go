package serve

import (
	"net"
	"net/http/httptest"
	"strings"
	"testing"
)

// bound is a listener that claims an address.
type bound struct {
	net.Listener
	address net.Addr
}

func (b bound) Addr() net.Addr { return b.address }

func TestI78_ExposedGoesByTheBoundAddress(t *testing.T) {
	for where, exposed := range map[string]bool{
		"127.0.0.1:0": false, "127.9.9.9:0": false, "[::ffff:127.0.0.1]:0": false, "localhost:0": false,
		"unix:" + t.TempDir() + "/s": false,
		"0.0.0.0:0":                  true, "[::ffff:0.0.0.0]:0": true, ":0": true,
	} {
		l, err := Listen(t.Context(), where, func(string) string { return "" })
		if err != nil {
			t.Errorf("%s: %v", where, err)
			continue
		}
		if got := Exposed(l); got != exposed {
			t.Errorf("%s, bound as %s: exposed is %t", where, l.Addr(), got)
		}
		_ = l.Close()
	}
	// What names and interfaces lead to, of which this machine need have none.
	for address, exposed := range map[string]bool{"::1": false, "::": true, "192.0.2.7": true, "10.0.0.1": true, "fe80::1": true, "2001:db8::1": true} {
		if got := Exposed(bound{address: &net.TCPAddr{IP: net.ParseIP(address), Port: 1}}); got != exposed {
			t.Errorf("%s: exposed is %t", address, got)
		}
	}
	if !Exposed(bound{address: &net.TCPAddr{}}) {
		t.Error("no address is every address")
	}
}

func TestI78_InternalPathsHaveAListenerOfTheirOwn(t *testing.T) {
	for _, split := range []bool{false, true} {
		f := newFixture(t, func(o *Options) { o.SplitInternal = split })
		for _, test := range []struct {
			method, path     string
			public, internal int
		}{
			{"GET", "/metrics", 200, 200}, {"POST", "/introspect", 401, 401}, {"GET", "/introspect", 405, 405},
			{"GET", "/verify", 401, 404}, {"GET", "/verify/x", 401, 404}, {"GET", "/healthz", 200, 200}, {"GET", "/readyz", 200, 200},
			{"GET", "/metrics/", 404, 404}, {"GET", "/", 404, 404},
		} {
			if split && (test.path == "/metrics" || test.path == "/introspect") {
				test.public = 404
			}
			public, internal := httptest.NewRecorder(), httptest.NewRecorder()
			f.server.ServeHTTP(public, httptest.NewRequest(test.method, test.path, nil))
			f.server.Internal().ServeHTTP(internal, httptest.NewRequest(test.method, test.path, nil))
			if public.Code != test.public || internal.Code != test.internal {
				t.Errorf("split %t, %s %s: %d and %d, not %d and %d", split, test.method, test.path, public.Code, internal.Code, test.public, test.internal)
			}
		}
		// A body that is not read ends the connection, wherever it was sent.
		w := httptest.NewRecorder()
		f.server.ServeHTTP(w, httptest.NewRequest("POST", "/introspect", strings.NewReader("token=x")))
		if closes := w.Header().Get("Connection") == "close"; closes != split {
			t.Errorf("split %t: the connection closes: %t", split, closes)
		}
	}
}
