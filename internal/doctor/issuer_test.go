package doctor

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/httpclient"
)

func client(t *testing.T, o httpclient.Options) *http.Client {
	t.Helper()
	hc, err := httpclient.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hc.CloseIdleConnections)
	return hc
}

func issuer(t *testing.T, o authservertest.Options) *authservertest.Server {
	t.Helper()
	server, err := authservertest.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server
}

// examine is Issuer, with the issuer's finding and the clock's.
func examine(t *testing.T, hc *http.Client, issuer string, now func() time.Time) (Finding, Finding) {
	t.Helper()
	found := Issuer(t.Context(), hc, "work", issuer, now)
	if len(found) != 2 || found[0].Check != "issuer" || found[1].Check != "clock" {
		t.Fatalf("%+v", found)
	}
	return found[0], found[1]
}

func TestIssuerSaysWhatItSupports(t *testing.T) {
	hc := client(t, httpclient.Options{})
	for name, test := range map[string]struct {
		opts authservertest.Options
		seen string
	}{
		"OpenID":   {authservertest.Options{}, "OpenID Connect, PKCE S256, refresh, revocation, device, DPoP, iss"},
		"RFC 8414": {authservertest.Options{NoOpenID: true, NoRevocation: true, Path: "/a"}, "supports PKCE S256, refresh, device, DPoP, iss"},
	} {
		f, clock := examine(t, hc, issuer(t, test.opts).Issuer(), time.Now)
		check(t, name, f, OK, test.seen)
		check(t, name, clock, OK, "within 30s")
	}
}

func TestD38IssuersThatAreNotWell(t *testing.T) {
	server := issuer(t, authservertest.Options{})
	hc := client(t, httpclient.Options{})
	for fault, test := range map[string]struct{ seen, fix string }{
		"discovery-issuer":           {"it calls itself", "byte for byte"},
		"discovery-slash":            {"it calls itself", "byte for byte"},
		"discovery-500":              {"500", "whether the server is up"},
		"discovery-no-token":         {"token_endpoint", "not usable"},
		"authorization-endpoint-unc": {"authorization_endpoint", "not usable"},
	} {
		if err := server.InjectFault(fault, 1); err != nil {
			t.Fatal(err)
		}
		f, clock := examine(t, hc, server.Issuer(), time.Now)
		check(t, "D38 "+fault, f, Problem, test.seen)
		check(t, "D38 "+fault, clock, OK, "within")
		if !strings.Contains(f.Fix, test.fix) {
			t.Errorf("D38 %s: the fix is %q", fault, f.Fix)
		}
	}
	f, clock := examine(t, hc, server.Issuer()+"/nowhere", time.Now)
	check(t, "no metadata", f, Problem, "404")
	check(t, "no metadata", clock, OK, "within")
	f, clock = examine(t, hc, "http://sso.example.com", time.Now)
	check(t, "D39 not https", f, Problem, "not https")
	check(t, "D39 not https", clock, NotChecked, "sends no date")
}

func TestIssuerThatIsNotReached(t *testing.T) {
	server := issuer(t, authservertest.Options{TLS: true})
	f, clock := examine(t, client(t, httpclient.Options{}), server.Issuer(), time.Now)
	check(t, "B28 unknown authority", f, Problem, "certificate")
	check(t, "B28 unknown authority", clock, NotChecked, "not reached")
	if !strings.Contains(f.Fix, "--ca-file") {
		t.Errorf("B28: the fix is %q", f.Fix)
	}
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, server.CACertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	trusting := client(t, httpclient.Options{CAFile: ca})
	f, _ = examine(t, trusting, server.Issuer(), time.Now)
	check(t, "trusted", f, OK, "supports")
	f, _ = examine(t, trusting, strings.Replace(server.Issuer(), "127.0.0.1", "localhost", 1), time.Now)
	check(t, "B28 another name", f, Problem, "localhost")
	if !strings.Contains(f.Fix, "another server's") {
		t.Errorf("B28: the fix is %q", f.Fix)
	}
	server.Close()
	f, _ = examine(t, trusting, server.Issuer(), time.Now)
	check(t, "down", f, Problem, "refused")
}

// What the server writes into every field is shown nowhere as it stands.
func TestH61HostileMetadata(t *testing.T) {
	const evil = `\u001b]52;c;aGk=\u0007\u202e\nok   keyring   fine\u009b31m`
	for name, body := range map[string]string{
		"issuer":   `{"issuer":"` + evil + `","authorization_endpoint":"https://x","token_endpoint":"https://x"}`,
		"endpoint": `{"issuer":"ISSUER","authorization_endpoint":"https://x","token_endpoint":"` + evil + `"}`,
		"features": `{"issuer":"ISSUER","authorization_endpoint":"https://x","token_endpoint":"https://x",
			"grant_types_supported":["` + evil + `"],"dpop_signing_alg_values_supported":["` + evil + `"]}`,
		"device":   `{"issuer":"ISSUER","authorization_endpoint":"https://x","token_endpoint":"https://x","device_authorization_endpoint":"` + evil + `"}`,
		"types":    `{"issuer":["` + evil + `"]}`,
		"no JSON":  "\x1b]52;c;aGk=\x07",
		"too much": strings.Repeat(evil, 1<<18),
	} {
		var server *httptest.Server
		server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", evil)
			w.Header().Set("Age", evil)
			_, _ = io.WriteString(w, strings.ReplaceAll(body, "ISSUER", server.URL))
		}))
		f, clock := examine(t, client(t, httpclient.Options{}), server.URL, time.Now)
		want := Problem
		if name == "features" || name == "device" {
			want = OK
		}
		check(t, "H61 "+name, f, want, "")
		check(t, "H61 "+name, clock, NotChecked, "")
		if len(f.Detail) > 1000 {
			t.Errorf("H61 %s: %d bytes are shown", name, len(f.Detail))
		}
		server.Close()
	}
}

func TestClock(t *testing.T) {
	for _, test := range []struct {
		ahead time.Duration
		want  State
		seen  string
	}{
		{0, OK, "within"}, {30 * time.Second, OK, "within"}, {-30 * time.Second, OK, "within"},
		{31 * time.Second, Warning, "31s ahead"}, {-5 * time.Minute, Warning, "5m0s behind"},
		{6 * time.Minute, Problem, "6m0s ahead"}, {-24 * time.Hour, Problem, "behind"},
		{math.MinInt64, Problem, "behind"}, {math.MaxInt64, Problem, "ahead"},
	} {
		check(t, fmt.Sprint(test.ahead), judgeClock(test.ahead, nil), test.want, test.seen)
	}
}

// The clocks are compared as of the middle of the request.
func TestClockAgainstTheServers(t *testing.T) {
	start := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name, date, age string
		took            time.Duration
		want            State
		seen            string
	}{
		{"same", start.Format(http.TimeFormat), "", 0, OK, "within"},
		{"slow answer", start.Add(35 * time.Second).Format(http.TimeFormat), "", 70 * time.Second, OK, "within"},
		{"behind", start.Add(time.Minute).Format(http.TimeFormat), "", 0, Warning, "behind"},
		{"ahead", start.Add(-time.Hour).Format(http.TimeFormat), "", 0, Problem, "ahead"},
		{"an hour in a cache", start.Add(-time.Hour).Format(http.TimeFormat), "3600", 0, OK, "within"},
		{"hostile age", start.Format(http.TimeFormat), "-1e99", 0, OK, "within"},
		{"the end of time", "Fri, 31 Dec 9999 23:59:59 GMT", "2147483647", 0, Problem, "behind"},
		{"no date", "", "", 0, NotChecked, "sends no date"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Date"] = []string{test.date}
			w.Header().Set("Age", test.age)
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
		times := []time.Time{start, start.Add(test.took)}
		now := func() time.Time {
			next := times[0]
			times = times[1:]
			return next
		}
		_, clock := examine(t, client(t, httpclient.Options{}), server.URL, now)
		check(t, test.name, clock, test.want, test.seen)
		server.Close()
	}
}

func TestInterruptedIssuer(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		stop()
		<-r.Context().Done()
	}))
	defer server.Close()
	if found := Issuer(ctx, client(t, httpclient.Options{}), "work", server.URL, time.Now); found[0].State == OK || ctx.Err() == nil {
		t.Errorf("%+v", found)
	}
}
