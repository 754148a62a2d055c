// Package serve has the command of the verification service.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/serve"
)

type serveOptions struct {
	Listen      string        `flag:"listen" empty:"refused" help:"{HOST:PORT}, unix:/PATH or systemd"`
	Internal    string        `flag:"internal-listen" empty:"refused" help:"serve /metrics and /introspect on this {ADDRESS} only"`
	PlainHTTP   bool          `flag:"plain-http" help:"allow plain HTTP on addresses that are not loopback"`
	TLSCert     string        `flag:"tls-cert" empty:"refused" not:"plain-http" help:"serve TLS with the certificate in this {FILE}"`
	TLSKey      string        `flag:"tls-key" empty:"refused" help:"the certificate's private key, in this {FILE}"`
	Trusted     []string      `flag:"trusted-proxy" empty:"refused" help:"trust proxies in this {NETWORK}; repeatable"`
	Proxy       string        `flag:"proxy" values:"caddy envoy haproxy nginx traefik" help:"respond as this {PROXY} requires"`
	PrintConfig string        `flag:"print-config" values:"caddy envoy haproxy nginx traefik" help:"print a configuration for {PROXY}: caddy, envoy, haproxy, nginx, traefik"`
	MaxStale    time.Duration `flag:"max-stale" help:"refuse all keys after this {TIME} without the registry"`
	CacheSize   int           `flag:"cache-size" help:"cache {N} keys"`
	Guesses     int           `flag:"failures-per-second" help:"{N} unknown keys per address; 0: no limit"`
	Verbose     bool          `flag:"verbose,v" help:"log each refusal"`
}

// Memory settings of serve: garbage collection delays requests, so it is infrequent while
// the memory is below a base plus an amount per key.
const (
	serveGCPercent = 1000
	baseMemory     = 64 << 20
	memoryPerKey   = 1 << 10
)

// setMemoryLimit sets these limits; GOGC and GOMEMLIMIT override them.
func setMemoryLimit(a *app.App, cacheSize int) {
	if a.Getenv("GOGC") == "" {
		debug.SetGCPercent(serveGCPercent)
	}
	if a.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(baseMemory + int64(cacheSize)*memoryPerKey)
	}
}

const defaultListen = "127.0.0.1:8089"

func New(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "serve",
		Short: "Verify API keys over HTTP, in front of any service",
		Long: `Verify keys for a reverse proxy: GET /verify with a request's Authorization or
X-API-Key header, and ?env= and ?scope= for what is required. 200 allows it, with
X-Fob-Owner and other headers; 401, 403 and 429 refuse it. A key that is revoked
anywhere is refused within a second. While the registry is unavailable, every key
is refused.

POST /introspect (RFC 7662) is for services that have a key with the scope
fob:introspect. /healthz, /readyz and /metrics are for monitoring. In the
configuration, [[serve.rule]] sets what each route requires; SIGHUP reloads it.

Plain HTTP is served on loopback addresses and Unix sockets only: elsewhere keys
would cross the network unencrypted. --plain-http allows it.`,
		Example: `  fob serve --listen 127.0.0.1:8089 --trusted-proxy 127.0.0.1/32
  fob serve --listen unix:/run/fob/fob.sock --proxy nginx
  fob serve --print-config nginx`,
		Args: usage.NoKeyArgs,
	}, serveOptions{Listen: defaultListen, MaxStale: serve.DefaultMaxStale, CacheSize: serve.DefaultCacheSize, Guesses: serve.DefaultGuesses}, runServe,
		cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitInterrupted)
}

func runServe(ctx context.Context, a *app.App, _ []string, opts serveOptions) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	if opts.PrintConfig != "" {
		return printProxyConfig(a, opts)
	}
	options, err := serverOptions(a, opts)
	if err != nil {
		return err
	}
	setMemoryLimit(a, opts.CacheSize)
	g, err := appkeys.Open(ctx, a, false)
	if err != nil {
		return err
	}
	defer g.Close()
	s := &service{App: a, log: options.Log, peppers: &serve.Peppers{Find: g.Peppers}, systemd: newSystemd(a.Getenv)}
	g.Peppers = s.peppers.Get
	options.Keys, options.Rehash, options.Peppers = g.Registry, g.Rehash, g.Peppers
	options.RequirePepper, options.AddPepper, options.Polled = g.RequirePepper, g.AddPepper, s.systemd.polled
	if s.certificate, err = loadCertificate(opts, options.Log); err != nil {
		return err
	}
	listeners, err := listenAll(ctx, a, opts, s.certificate, options.Log)
	if err != nil {
		return err
	}
	if g.RequirePepper { // may be set manually, or rows were added since
		var counting sync.WaitGroup
		defer counting.Wait()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		counting.Go(func() {
			if ids, err := g.WithoutPepper(ctx); len(ids) > 0 {
				options.Log.Warn("keys without a pepper are refused", "count", len(ids))
			} else if err != nil && ctx.Err() == nil {
				options.Log.Warn("keys without a pepper were not counted", "error", err.Error())
			}
		})
	}
	paths, _ := a.Paths() // checked by Config
	s.server, s.hasConfig = serve.New(options), app.PathExists(paths.Config)
	return s.serveUntil(ctx, listeners, hangups)
}

// service is a running server and what it reloads.
type service struct {
	*app.App
	server      *serve.Server
	certificate *serve.Certificate // nil without TLS
	hasConfig   bool               // whether config.toml existed when it was read
	peppers     *serve.Peppers
	systemd     *systemd
	log         *slog.Logger
}

// reload applies the current files, or none of them if one is invalid.
func (s *service) reload(ctx context.Context) {
	ready := s.systemd.ready.Load() // else the first poll reports it
	if ready {
		s.systemd.notify("RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(monotonic(), 10))
	}
	if err := s.readFiles(ctx); err != nil {
		s.log.Error("reloading failed: the previous configuration stays in force", "error", err.Error())
	} else {
		s.log.Info("reloaded")
	}
	if ready {
		s.systemd.notify("READY=1")
	}
}

func (s *service) readFiles(ctx context.Context) error {
	cfg, err := s.Config()
	if err != nil {
		return err
	}
	exists := app.PathExists(cfg.Paths.Config)
	if s.hasConfig && !exists {
		return fmt.Errorf("%s is missing", cfg.Paths.Config)
	}
	rules, err := readSettings(cfg.Serve)
	if err != nil {
		return err
	}
	if len(rules) == 0 && s.server.HasRules() { // the file may be missing, or half written
		return errors.New("there are no rules any more: restart fob to serve without rules")
	}
	serveCertificate := func() {}
	if s.certificate != nil {
		if serveCertificate, err = s.certificate.Read(); err != nil {
			return err
		}
	}
	changed, err := s.peppers.Reload(ctx)
	if err != nil {
		return err
	}
	serveCertificate()
	if changed {
		s.server.ForgetKeys()
	}
	s.server.Configure(rules, cfg.Serve.Headers)
	s.hasConfig = exists
	return nil
}

func serverOptions(a *app.App, opts serveOptions) (serve.Options, error) {
	level := slog.LevelInfo
	if opts.Verbose {
		level = slog.LevelDebug
	}
	o := serve.Options{
		Now: a.Now, Log: slog.New(slog.NewJSONHandler(cli.NewInertWriter(a.Err.Raw(), sanitize.JSON), &slog.HandlerOptions{Level: level})),
		MaxStale: opts.MaxStale, CacheSize: opts.CacheSize, Guesses: opts.Guesses, OnlyAuthStatuses: opts.Proxy == "nginx",
		SplitInternal: opts.Internal != "",
	}
	switch {
	case (opts.TLSCert == "") != (opts.TLSKey == ""):
		return o, cli.WithHint(cli.Usagef("TLS requires a certificate and its key"), "set both --tls-cert and --tls-key")
	case opts.Listen == serve.Systemd && opts.Internal == serve.Systemd:
		return o, cli.WithHint(cli.Usagef("systemd passes one socket, for one listener"), "set --internal-listen to an address: 127.0.0.1:9090, or unix:/PATH")
	case opts.MaxStale <= 0 || opts.CacheSize < 1 || opts.Guesses < 0:
		return o, cli.Usagef("--max-stale and --cache-size must be positive, --failures-per-second not negative")
	}
	for _, network := range opts.Trusted {
		prefix, err := netip.ParsePrefix(network)
		if err != nil {
			return o, cli.WithHint(cli.Usagef("%q is not a network", network), "use a network such as 127.0.0.1/32, 10.0.0.0/8, ::1/128")
		}
		o.TrustedProxies = append(o.TrustedProxies, prefix.Masked())
	}
	cfg, err := a.Config()
	if err != nil {
		return o, err
	}
	o.Headers = cfg.Serve.Headers
	o.Rules, err = readSettings(cfg.Serve)
	return o, err
}

// readSettings checks the table [serve] and returns its rules.
func readSettings(settings config.Serve) (rules []serve.Rule, err error) {
	const hint = "fix the configuration with an editor"
	for _, name := range settings.Headers {
		if err := serve.CheckHeader(name); err != nil {
			return nil, cli.WithHint(cli.Usagef("[serve] headers: %.80q: %s", name, err), hint)
		}
	}
	for i, rule := range settings.Rules {
		r, err := newRule(rule)
		if err != nil {
			return nil, cli.WithHint(cli.Usagef("[[serve.rule]] number %d: %s", i+1, err), hint)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func newRule(rule config.ServeRule) (serve.Rule, error) {
	r := serve.Rule{Path: rule.Path, Methods: rule.Methods, Preflight: rule.Preflight, Need: apikey.Need{Environment: rule.Environment, Scopes: rule.Scopes}}
	if err := serve.CheckPath(rule.Path); err != nil {
		return r, err
	}
	if rule.Environment != "" {
		if err := apikey.CheckEnvironment(rule.Environment); err != nil {
			return r, err
		}
	}
	for _, scope := range rule.Scopes {
		if err := apikey.CheckScope(scope); err != nil {
			return r, err
		}
	}
	return r, nil
}

// loadCertificate returns nil without TLS.
func loadCertificate(opts serveOptions, log *slog.Logger) (*serve.Certificate, error) {
	if opts.TLSCert == "" {
		return nil, nil
	}
	certificate, err := serve.LoadCertificate(opts.TLSCert, opts.TLSKey, log)
	if err != nil {
		return nil, cli.WithHint(cli.Usagef("the certificate cannot be used: %s", err), "--tls-cert and --tls-key name files in PEM that belong together")
	}
	return certificate, nil
}

// listenAll opens the main listener and, if configured, the internal one. Both use the
// certificate.
func listenAll(ctx context.Context, a *app.App, opts serveOptions, certificate *serve.Certificate, log *slog.Logger) (listeners []net.Listener, err error) {
	flags := [][2]string{{"--listen", opts.Listen}, {"--internal-listen", opts.Internal}}
	if opts.Internal == "" {
		flags = flags[:1]
	}
	for _, flag := range flags {
		listener, err := listen(ctx, a, flag[0], flag[1], certificate != nil || opts.PlainHTTP)
		if err != nil {
			for _, open := range listeners {
				_ = open.Close() // deletes a Unix socket
			}
			return nil, err
		}
		if certificate == nil && serve.Exposed(listener) {
			log.Warn("plain HTTP: keys cross the network unencrypted", "address", listener.Addr().String())
		}
		if certificate != nil {
			listener = certificate.Listener(listener)
		}
		listeners = append(listeners, listener)
	}
	return listeners, nil
}

// listen opens one listener. If other machines can reach it, that must be allowed.
func listen(ctx context.Context, a *app.App, flag, where string, anywhere bool) (net.Listener, error) {
	listener, err := serve.Listen(ctx, where, a.Getenv)
	if errors.As(err, new(*net.AddrError)) {
		return nil, cli.WithHint(cli.AsUsage(err), "write an address and a port: %s 127.0.0.1:8089, or unix:/PATH", flag)
	}
	if err != nil {
		return nil, cli.WithHint(err, "choose another address with %s, or stop the program that uses this one", flag)
	}
	if anywhere || !serve.Exposed(listener) {
		return listener, nil
	}
	bound := listener.Addr().(*net.TCPAddr)
	return nil, errors.Join(listener.Close(), cli.WithHint(
		cli.Usagef("refusing to serve plain HTTP on %s: keys would cross the network unencrypted", where),
		"use %s 127.0.0.1:%d with a proxy on this machine; for TLS: --tls-cert and --tls-key; to serve plain HTTP anyway: --plain-http", flag, bound.Port))
}

// shutdownWait is how long requests in flight may take at the end.
const shutdownWait = 10 * time.Second

// serveUntil serves on all listeners, the second being the internal one, until ctx ends, and
// reloads at each hangup. It finishes the requests in flight and stores the uses of keys.
func (s *service) serveUntil(ctx context.Context, listeners []net.Listener, hangups <-chan os.Signal) error {
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		s.server.Run(running)
	}()
	servers := []*http.Server{serve.HTTPServer(s.server, s.log), serve.HTTPServer(s.server.Internal(), s.log)}[:len(listeners)]
	ended := make(chan error, len(servers))
	for i, server := range servers {
		s.log.Info([]string{"listening", "listening for metrics and introspection"}[i], "address", listeners[i].Addr().String())
		go func() { ended <- server.Serve(listeners[i]) }()
	}
	var err error
	for serving := true; serving; {
		select {
		case <-hangups:
			s.reload(ctx)
		case err = <-ended:
			serving = false
		case <-ctx.Done():
			serving = false
			s.log.Info("stopping")
		}
	}
	s.systemd.notify("STOPPING=1")
	graceful, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownWait)
	defer cancel()
	for _, server := range servers {
		err = errors.Join(err, server.Shutdown(graceful))
	}
	stop()
	<-finished
	if err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

func printProxyConfig(a *app.App, opts serveOptions) error {
	if _, _, err := net.SplitHostPort(opts.Listen); err != nil || strings.HasPrefix(opts.Listen, "unix:") {
		return cli.WithHint(cli.Usagef("--print-config requires --listen HOST:PORT"), "print it for a HOST:PORT, then replace the address by the socket")
	}
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	if _, err := readSettings(cfg.Serve); err != nil {
		return err
	}
	_, err = fmt.Fprint(a.Out.Raw(), serve.ProxyConfig(opts.PrintConfig, opts.Listen, cfg.Serve.Headers))
	return err
}
