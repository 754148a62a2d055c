package serve

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/serve"
)

func TestServe_Usage(t *testing.T) {
	for name, test := range map[string]struct {
		config  string
		args    []string
		problem string
	}{
		"a certificate without its key": {"", []string{"--tls-cert", "c.pem"}, "TLS requires a certificate and its key"},
		"a key without its certificate": {"", []string{"--tls-key", "k.pem"}, "TLS requires a certificate and its key"},
		"a missing certificate":         {"", []string{"--tls-cert", "/none/c.pem", "--tls-key", "/none/k.pem"}, "the certificate cannot be used"},
		"plain HTTP and TLS":            {"", []string{"--plain-http", "--tls-cert", "c.pem", "--tls-key", "k.pem"}, "--plain-http and --tls-cert"},
		"one socket for two listeners":  {"", []string{"--listen", "systemd", "--internal-listen", "systemd"}, "systemd passes one socket"},
		"no time":                       {"", []string{"--max-stale", "0s"}, "--max-stale"},
		"no cache":                      {"", []string{"--cache-size", "0"}, "--cache-size"},
		"negative failures":             {"", []string{"--failures-per-second", "-1"}, "--failures-per-second"},
		"an unknown proxy":              {"", []string{"--proxy", "squid"}, `unknown proxy "squid"`},
		"an address without a length":   {"", []string{"--trusted-proxy", "10.0.0.1"}, `"10.0.0.1" is not a network`},
		"an empty address":              {"", []string{"--listen", ""}, "--listen is empty"},
		"no port":                       {"", []string{"--listen", "127.0.0.1"}, "127.0.0.1"},
		"a key as an argument":          {"", []string{"fob_test_1" + strings.Repeat("a", 40)}, "an API key was passed as an argument"},
		"an argument":                   {"", []string{"now"}, "no argument"},
		"a rule's path":                 {"[[serve.rule]]\npath = \"x\"\n", nil, "[[serve.rule]] number 1"},
		"a rule's environment":          {"[[serve.rule]]\npath = \"/\"\n[[serve.rule]]\npath = \"/a\"\nenv = \"A B\"\n", nil, "[[serve.rule]] number 2"},
		"a rule's scope":                {"[[serve.rule]]\npath = \"/\"\nscopes = [\"a b\"]\n", nil, "[[serve.rule]] number 1"},
		"a header's name":               {"[serve]\nheaders = [\"api_key\"]\n", nil, "[serve] headers: \"api_key\""},
		"a header with another use":     {"[serve]\nheaders = [\"Authorization\"]\n", []string{"--print-config", "nginx"}, "[serve] headers: \"Authorization\""},
		"an unknown configuration":      {"", []string{"--print-config", "squid"}, `unknown proxy "squid"`},
		"a configuration for a socket":  {"", []string{"--print-config", "nginx", "--listen", "unix:/run/fob.sock"}, "HOST:PORT"},
	} {
		t.Run(name, func(t *testing.T) {
			a := cmdtest.New(t, test.config)
			createRegistry(t, a.App)
			stdout, _, err := a.Run(New, test.args...)
			if !cli.IsUsage(err) || !strings.Contains(err.Error(), test.problem) || stdout != "" {
				t.Errorf("%v", err)
			}
		})
	}
}

// createRegistry makes a registry with one key, and returns the key.
func createRegistry(t *testing.T, a *app.App) apikey.Minted {
	t.Helper()
	g, err := appkeys.Open(t.Context(), a, true)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	minted, _, err := g.Create(t.Context(), apikey.Record{Owner: "shop", Environment: "test", Scopes: []string{"orders:read"}, ExpiresAt: a.Now().Add(time.Hour)}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return minted[0]
}

func TestServerOptions(t *testing.T) {
	a := cmdtest.New(t, "[serve]\nheaders = [\"apikey\"]\n[[serve.rule]]\npath = \"/admin\"\npreflight = true\nmethods = [\"GET\"]\nenv = \"live\"\nscopes = [\"orders:write\"]\n")
	opts := serveOptions{
		Listen: defaultListen, Internal: "127.0.0.1:0", Trusted: []string{"10.1.2.3/8", "::1/128"}, Proxy: "nginx",
		MaxStale: time.Second, CacheSize: 5, Guesses: 0,
	}
	o, err := serverOptions(a.App, opts)
	if err != nil {
		t.Fatal(err)
	}
	if o.MaxStale != time.Second || o.CacheSize != 5 || o.Guesses != 0 || !o.OnlyAuthStatuses || !o.SplitInternal {
		t.Errorf("%+v", o)
	}
	if len(o.TrustedProxies) != 2 || o.TrustedProxies[0].String() != "10.0.0.0/8" {
		t.Errorf("%v", o.TrustedProxies)
	}
	if !slices.Equal(o.Headers, []string{"apikey"}) || !o.Rules[0].Preflight {
		t.Errorf("%q, %+v", o.Headers, o.Rules)
	}
	if len(o.Rules) != 1 || o.Rules[0].Path != "/admin" || !slices.Equal(o.Rules[0].Methods, []string{"GET"}) || o.Rules[0].Need.Environment != "live" || !slices.Equal(o.Rules[0].Need.Scopes, []string{"orders:write"}) {
		t.Errorf("%+v", o.Rules)
	}
	for verbose, lines := range map[bool]int{false: 1, true: 2} {
		opts.Verbose = verbose
		if o, err = serverOptions(a.App, opts); err != nil {
			t.Fatal(err)
		}
		a.Stderr()
		o.Log.Debug("refused")
		o.Log.Info("a\x1b[31m\nline")
		if got := a.Stderr(); strings.Count(got, "\n") != lines || strings.Contains(got, "\x1b") {
			t.Errorf("verbose %v: %q", verbose, got)
		}
	}
}

func TestListen(t *testing.T) {
	for where, test := range map[string]struct {
		anywhere bool
		problem  string
		hint     string
	}{
		"127.0.0.1:0":                     {false, "", ""},
		"0.0.0.0:0":                       {false, "refusing to serve plain HTTP on 0.0.0.0:0", "use --listen 127.0.0.1:"},
		":0":                              {true, "", ""},
		"127.0.0.1:99999":                 {false, "99999", ""},
		"unix:/none/such/folder/fob.sock": {false, "no such file", "choose another address with --listen"},
	} {
		l, err := listen(t.Context(), cmdtest.New(t, "").App, "--listen", where, test.anywhere)
		if l != nil {
			_ = l.Close()
		}
		if (err == nil) != (test.problem == "") || err != nil && (!strings.Contains(err.Error(), test.problem) || !strings.Contains(cli.CarriedHint(err), test.hint)) {
			t.Errorf("%s: %v, hint %q", where, err, cli.CarriedHint(err))
		}
	}
}

// If the second listener cannot be opened, the first one is closed.
func TestListenAll_ClosesWhatItHasOpened(t *testing.T) {
	a := cmdtest.New(t, "")
	o, err := serverOptions(a.App, serveOptions{MaxStale: 1, CacheSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	socket := "unix:" + filepath.Join(t.TempDir(), "s")
	for range 2 { // the second time the socket would be in use
		if _, err := listenAll(t.Context(), a.App, serveOptions{Listen: socket, Internal: "0.0.0.0:0"}, nil, o.Log); !cli.IsUsage(err) || !strings.Contains(cli.CarriedHint(err), "--internal-listen") {
			t.Errorf("%v", err)
		}
	}
	listeners, err := listenAll(t.Context(), a.App, serveOptions{Listen: "127.0.0.1:0", Internal: "0.0.0.0:0", PlainHTTP: true}, nil, o.Log)
	if err != nil || len(listeners) != 2 {
		t.Fatalf("%d, %v", len(listeners), err)
	}
	for _, l := range listeners {
		_ = l.Close()
	}
	if log := a.Stderr(); strings.Count(log, "keys cross the network unencrypted") != 1 {
		t.Errorf("%q", log)
	}
}

func TestPrintConfig(t *testing.T) {
	for _, proxy := range []string{"caddy", "envoy", "haproxy", "nginx", "traefik"} {
		stdout, _, err := cmdtest.New(t, "").Run(New, "--print-config", proxy, "--listen", "127.0.0.1:4711")
		if err != nil || !strings.Contains(stdout, "127.0.0.1:4711") {
			t.Errorf("%s: %q, %v", proxy, stdout, err)
		}
	}
}

func TestPrintConfig_HidesConfiguredHeaders(t *testing.T) {
	a := cmdtest.New(t, "[serve]\nheaders = [\"apikey\"]\n")
	if stdout, _, err := a.Run(New, "--print-config", "nginx"); err != nil || !strings.Contains(stdout, `proxy_set_header apikey "";`) || strings.Contains(stdout, "API-Key") {
		t.Errorf("%s %v", stdout, err)
	}
}

// TestServe runs the service on two listeners until it is told to stop.
func TestServe(t *testing.T) {
	a := cmdtest.New(t, "")
	a.Clock.Now = time.Now
	key := createRegistry(t, a.App)
	log, stderr := io.Pipe()
	a.Err = cli.NewStream(stderr)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	served := make(chan error, 1)
	go func() {
		served <- runServe(ctx, a.App, nil, serveOptions{Listen: "127.0.0.1:0", Internal: "127.0.0.1:0", MaxStale: serve.DefaultMaxStale, CacheSize: 10})
		_ = stderr.Close()
	}()
	lines := bufio.NewScanner(log)
	var addresses []string
	for len(addresses) < 2 && lines.Scan() {
		var entry struct{ Msg, Address string }
		if err := json.Unmarshal(lines.Bytes(), &entry); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		if strings.HasPrefix(entry.Msg, "listening") {
			addresses = append(addresses, entry.Address)
		}
	}
	drained := make(chan string)
	go func() {
		rest, _ := io.ReadAll(log)
		drained <- string(rest)
	}()
	status := func(address, path, token string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	for status(addresses[1], "/readyz", "") != http.StatusOK { // the registry is read after the sockets are open
		if t.Context().Err() != nil {
			t.Fatal("it is never ready")
		}
	}
	for _, test := range []struct {
		listener int
		path     string
		key      string
		want     int
	}{
		{0, "/verify", key.Key.Reveal(), http.StatusOK},
		{0, "/verify?scope=orders:read", key.Key.Reveal(), http.StatusOK},
		{0, "/verify?scope=orders:write", key.Key.Reveal(), http.StatusForbidden},
		{0, "/verify", "nonsense", http.StatusUnauthorized},
		{0, "/metrics", "", http.StatusNotFound},
		{1, "/metrics", "", http.StatusOK},
		{1, "/verify", key.Key.Reveal(), http.StatusNotFound},
	} {
		if got := status(addresses[test.listener], test.path, test.key); got != test.want {
			t.Errorf("%s of listener %d: %d, not %d", test.path, test.listener, got, test.want)
		}
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if rest := <-drained; !strings.Contains(rest, `"stopping"`) || strings.Contains(rest, key.Key.Reveal()) {
		t.Errorf("log: %s", rest)
	}
}

func TestServe_NeedsARegistry(t *testing.T) {
	if _, _, err := cmdtest.New(t, "").Run(New, "--listen", "127.0.0.1:0"); err == nil || cli.IsUsage(err) {
		t.Errorf("%v", err)
	}
}
