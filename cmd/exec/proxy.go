package exec

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/delivery"
	"github.com/fobcli/fob/internal/dotenv"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/proxy"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/session"
)

type proxyOptions struct {
	identityFlag
	Allow    []string `flag:"allow" required:"name a host: --allow api.example.com" help:"allow requests to this {HOST}; repeatable"`
	BaseURLs []string `flag:"base-url" help:"set a variable to a base URL: {NAME=HOST/PATH}; repeatable"`
	Header   string   `flag:"header" empty:"refused" help:"send the credential in the header {NAME}, not Authorization"`
	Quiet    bool     `flag:"quiet,q" help:"log only refused and failed requests"`
}

func NewProxy(a *app.App) *cobra.Command {
	return withExecStatus(usage.Command(a, &cobra.Command{
		Use:   "proxy PROFILE --allow HOST [flags] -- COMMAND [ARGUMENT…]",
		Short: "Run a program behind a proxy that adds a token",
		Long: `Run a program with a proxy on a loopback port, whose password only this program gets.
The proxy sends requests to the allowed hosts over https with a fresh token, and
refuses all others, so that scripts, build tools and AI agents can use a credential
that they cannot leak. PROFILE may also be secret/NAME, for an API key in a --header.

The program finds the proxy by HTTP_PROXY, and writes http:// in place of https://, or
uses the address in a variable that --base-url names. A HOST may have a port. For a
server on this machine without TLS, use --allow http://127.0.0.1:8080. https:// (CONNECT)
is refused: the proxy could not read it. Each request is logged to stderr. This is not a firewall: a program that
ignores HTTPS_PROXY and ALL_PROXY connects directly, without the token.

` + execExitHelp,
		Example: `  fob proxy work --allow api.example.com -- curl http://api.example.com/me
  fob proxy github --allow api.github.com --base-url API=api.github.com -- ./bot
  fob proxy secret/stripe --header X-API-Key --allow api.stripe.com -- ./shop`,
		Args: func(cmd *cobra.Command, args []string) error {
			const hint = "run 'fob proxy PROFILE --allow HOST -- COMMAND'"
			switch {
			case cmd.ArgsLenAtDash() > 1:
				return execFailed(cli.WithHint(cli.Usagef("expected one PROFILE before --"), hint))
			case len(args) < 2 || args[0] == "":
				return execFailed(cli.WithHint(cli.Usagef("PROFILE and COMMAND are required"), hint))
			}
			return nil
		},
	}, proxyOptions{}, runProxy))
}

func runProxy(ctx context.Context, a *app.App, args []string, opts proxyOptions) error {
	source, argv := delivery.CredentialReference(args[0]), args[1:]
	if err := app.CheckReference(source); err != nil {
		return cli.WithHint(cli.AsUsage(err), "name a profile, or secret/NAME")
	}
	if strings.Trim(strings.ToLower(opts.Header), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return cli.WithHint(cli.Usagef("--header is not the name of a header"), "use --header X-API-Key")
	}
	origins, err := allowedOrigins(opts.Allow)
	if err != nil {
		return err
	}
	path, err := findProgram(argv[0])
	if err != nil {
		return err
	}
	credential := &cachedCredential{a: a, reference: source}
	if _, err := credential.get(ctx); err != nil { // fail now, not at the first request
		return err
	}
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	transport, err := httpclient.NewTransport(httpclient.Options{CAFile: cfg.CAFile})
	if err != nil {
		return app.WrongCertificates(err)
	}
	transport.MaxIdleConnsPerHost = 64 // a program may send many requests to one host at once
	p, err := proxy.Listen(ctx, proxy.Options{
		Allow: origins, Authorize: credential.authorize(opts.Header), Refused: credential.forget, Transport: transport, Log: requestLog(a, opts.Quiet),
	})
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	added, err := proxyVariables(a, p, origins, opts.BaseURLs)
	if err != nil {
		return err
	}
	environ, err := a.ChildEnviron(opts.Identity, added)
	if err != nil {
		return err
	}
	go func() { _ = p.Serve() }()
	return runChild(ctx, a, path, argv, false, environ, nil)
}

func allowedOrigins(allow []string) (origins []proxy.Origin, err error) {
	for _, text := range allow {
		origin, err := proxy.ParseOrigin(text)
		if err != nil {
			return nil, cli.WithHint(cli.Usagef("--allow %s: %s", sanitize.Line(text), err), "use --allow api.example.com")
		}
		origins = append(origins, origin)
	}
	return origins, nil
}

// proxyVariables configure the program to use the proxy, for https too: requests that
// bypass the proxy are neither refused nor logged. curl and others only read the lower-case
// names.
func proxyVariables(a *app.App, p *proxy.Proxy, origins []proxy.Origin, baseURLs []string) (map[string]string, error) {
	added := make(map[string]string)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		added[name], added[strings.ToLower(name)] = p.URL().Reveal(), p.URL().Reveal()
	}
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		if list := a.Getenv(name); list != "" {
			added[name] = proxy.Exceptions(list, origins)
		}
	}
	for _, baseURL := range baseURLs {
		name, place, _ := strings.Cut(baseURL, "=")
		scheme, rest, found := strings.Cut(place, "://")
		if !found {
			scheme, rest = "https", place
		}
		host, path, _ := strings.Cut(rest, "/")
		origin, err := proxy.ParseOrigin(scheme + "://" + host)
		if !dotenv.IsName(name) || err != nil {
			return nil, cli.WithHint(cli.Usagef("--base-url is not NAME=HOST/PATH"), "use --base-url API_URL=api.example.com/v1")
		}
		if !slices.Contains(origins, origin) {
			return nil, cli.WithHint(cli.Usagef("--base-url %s: the host is not allowed", name), "%s", hintOfBaseURL(name, origin, path, origins))
		}
		added[name] = strings.TrimSuffix(p.BaseURL().Reveal()+"/"+origin.Host+"/"+path, "/")
	}
	return added, nil
}

// hintOfBaseURL names the scheme if the host is allowed with another one.
func hintOfBaseURL(name string, origin proxy.Origin, path string, origins []proxy.Origin) string {
	for _, allowed := range origins {
		if allowed.Host == origin.Host {
			return fmt.Sprintf("use the scheme of --allow: --base-url %s=%s://%s", name, allowed.Scheme, sanitize.Line(strings.TrimSuffix(origin.Host+"/"+path, "/")))
		}
	}
	return "allow it: --allow " + strings.TrimPrefix(origin.Scheme+"://"+origin.Host, "https://")
}

func requestLog(a *app.App, quiet bool) func(proxy.Entry) {
	var one sync.Mutex
	return func(e proxy.Entry) {
		one.Lock()
		defer one.Unlock()
		switch line := fmt.Sprintf("%s %s %s %d", e.Method, cmp.Or(e.Host, "-"), e.Path, e.Status); {
		case e.Err != nil:
			a.Note("%s: %s", sanitize.Line(line), sanitize.Line(e.Err.Error()))
			if hint := a.Hint(e.Err); hint != "" {
				a.Note("hint: %s", hint)
			}
		case !quiet:
			a.Note("%s", sanitize.Line(line))
		}
	}
}

// secretLifetime is how long a secret, whose expiry is unknown, is cached.
const secretLifetime = time.Hour

// cachedCredential is a credential in memory while it is valid.
type cachedCredential struct {
	a         *app.App
	reference string

	mu    sync.Mutex
	value secret.Secret
	until time.Time
}

func (h *cachedCredential) get(ctx context.Context) (secret.Secret, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.value.IsZero() && h.a.Now().Before(h.until) {
		return h.value, nil
	}
	profile, isToken := strings.CutPrefix(h.reference, config.TokenPrefix)
	if !isToken {
		value, err := h.a.Referenced(ctx, h.reference)
		h.value, h.until = value, h.a.Now().Add(secretLifetime)
		return value, err
	}
	token, err := h.a.TokenOf(ctx, profile)
	if err != nil {
		return secret.Secret{}, err
	}
	if token.Type == oauth.TypeDPoP {
		return secret.Secret{}, cli.WithHint(cli.Usagef("the tokens of profile %q are bound to a key, and the proxy cannot prove possession of it", profile), "log in without --dpop")
	}
	h.value, h.until = token.Value, token.ExpiresAt.Add(-session.DefaultMinTTL)
	return h.value, nil
}

func (h *cachedCredential) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.value = secret.Secret{}
}

// authorize sets the credential's header, and removes the program's own Authorization.
func (h *cachedCredential) authorize(name string) func(context.Context, http.Header) error {
	return func(ctx context.Context, header http.Header) error {
		header.Del("Authorization")
		value, err := h.get(ctx)
		if err != nil {
			return err
		}
		if name == "" {
			header.Set("Authorization", "Bearer "+value.Reveal())
		} else {
			header.Set(name, value.Reveal())
		}
		return nil
	}
}
