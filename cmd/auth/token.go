package auth

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/session"
)

type tokenOptions struct {
	MinTTL       time.Duration `flag:"min-ttl" help:"minimum {DURATION} that the token remains valid"`
	ForceRefresh bool          `flag:"force-refresh" help:"refresh even if the cached token is valid"`
	Scopes       []string      `flag:"scope" empty:"refused" not:"challenge" help:"request only these {SCOPES}"`
	Resource     string        `flag:"resource" empty:"refused" help:"request a token for the API at this {URL}"`
	Challenge    string        `flag:"challenge" empty:"refused" help:"print one that satisfies an API's refusal in {FILE}"`
	IDToken      bool          `flag:"id-token" help:"print the OpenID Connect id_token instead"`
	Inspect      bool          `flag:"inspect" not:"header curl-config netrc env" help:"print the claims of a JWT, not the token"`
	Header       bool          `flag:"header" not:"id-token" help:"print an Authorization header, for curl -H @-"`
	CurlConfig   bool          `flag:"curl-config" not:"header id-token" help:"print a configuration for curl -K -"`
	Netrc        string        `flag:"netrc" empty:"refused" not:"header curl-config id-token" help:"print a line of a .netrc for this {HOST}"`
	Env          string        `flag:"env" empty:"refused" not:"header curl-config netrc" help:"print the command that sets this {VARIABLE} in a shell"`
	Shell        string        `flag:"shell" values:"sh fish powershell" help:"the {SHELL} of --env: sh, fish, powershell"`
	Mask         bool          `flag:"mask" help:"have the CI system mask the token in its log"`
	DPoP         string        `flag:"dpop" empty:"refused" not:"header curl-config netrc env inspect json challenge scope id-token" help:"print the headers of one request: {METHOD} URL"`
	DPoPNonce    string        `flag:"dpop-nonce" help:"{NONCE} that the API requires"`
	JSON         bool          `flag:"json" not:"header curl-config netrc env" help:"print JSON"`
	Given        usage.Given
}

func NewToken(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "token [PROFILE]",
		Short: "Print a fresh access token",
		Long: `Print an access token that is valid for at least --min-ttl, and nothing else. fob
refreshes a token that is about to expire: once, also if many scripts run at the
same time. It never opens a browser.

--scope and --resource request a token with fewer scopes, or for another API. If
the login uses DPoP, --dpop METHOD URL prints the token with the proof for one
request. FOB_TOKEN_<PROFILE>, FOB_TOKEN (without a PROFILE) and
FOB_REFRESH_TOKEN_<PROFILE> take precedence over the stored login.`,
		Example: `  fob token work --header | curl -H @- https://api.example.com/me
  TOKEN=$(fob token work) || exit
  fob token work --curl-config | curl -K - https://api.example.com/me
  fob token work --scope read --min-ttl 10m
  fob token work --dpop GET https://api.example.com/me`,
		Args: checkTokenArgs,
	}, tokenOptions{MinTTL: session.DefaultMinTTL, Shell: cli.DefaultShell()}, runToken, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitLoginRequired, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitRefused, cli.ExitInterrupted)
}

// checkTokenArgs accepts a profile, and with --dpop the URL of a request after it.
func checkTokenArgs(cmd *cobra.Command, args []string) error {
	method, nonce := cmd.Flags().Lookup("dpop").Value.String(), cmd.Flags().Lookup("dpop-nonce").Value.String()
	if method == "" && nonce != "" {
		return cli.WithHint(cli.Usagef("--dpop-nonce requires --dpop"), "run 'fob token PROFILE --dpop GET --dpop-nonce NONCE https://api.example.com/me'")
	}
	if method == "" {
		return usage.AtMostProfile(cmd, args)
	}
	last := len(args) - 1
	if last < 0 || last > 1 || !strings.Contains(args[last], ":") {
		return cli.WithHint(cli.Usagef("--dpop requires a method and a URL"), "run 'fob token PROFILE --dpop GET https://api.example.com/me'")
	}
	if err := oauth.CheckURL(args[last]); err != nil {
		return cli.WithHint(cli.Usagef("the URL of the request: %s", err), "use an https URL; http is only for loopback addresses")
	}
	if strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
		return cli.WithHint(cli.Usagef("%q is not an HTTP method", method), "use capitals: GET, POST")
	}
	return usage.CheckNames(args[:last])
}

func runToken(ctx context.Context, a *app.App, args []string, opts tokenOptions) error {
	url := ""
	if opts.DPoP != "" {
		url, args = args[len(args)-1], args[:len(args)-1]
	}
	want, err := tokenRequest(a, opts)
	if err != nil {
		return err
	}
	if err := checkTokenForm(opts); err != nil {
		return err
	}
	named, err := a.Choice(args)
	if err != nil {
		return err
	}
	a.OnlyProfile = named.Name
	given, err := a.TokenFromEnv(named.Name, want)
	if err != nil {
		return err
	}
	if given != nil && opts.Challenge != "" {
		return cli.WithHint(cli.Usagef("the token in the environment cannot be replaced"), "leave out --challenge, or unset the variable")
	}
	if given != nil && opts.DPoP != "" {
		return cli.WithHint(cli.Usagef("the token in the environment is not bound to a key"), "leave out --dpop, or unset the variable")
	}
	if given != nil {
		return printToken(a, given, opts)
	}
	if opts.Challenge == "" && opts.DPoP == "" {
		token, err := a.NamedAgentToken(ctx, named.Name, want)
		if err != nil {
			return cli.ForProfile(err, named.Name)
		}
		if token != nil {
			return printToken(a, token, opts)
		}
	}
	p, err := a.TokenProfile(args)
	if err != nil {
		return err
	}
	if opts.DPoP != "" {
		return cli.ForProfile(printBound(ctx, a, p, want, url, opts), p.Name)
	}
	challenge, err := app.ReadChallenge(a, opts.Challenge)
	if err != nil {
		return err
	}
	token, err := app.TokenFor(ctx, a, p, want, challenge)
	if err != nil {
		return cli.ForProfile(err, p.Name)
	}
	return printToken(a, token, opts)
}

func tokenRequest(a *app.App, opts tokenOptions) (session.TokenOptions, error) {
	want := session.TokenOptions{Target: session.NewTarget(opts.Scopes, opts.Resource), ForceRefresh: opts.ForceRefresh, WantIDToken: opts.IDToken}
	if opts.Resource != "" {
		if err := oauth.CheckResource(opts.Resource); err != nil {
			return want, cli.WithHint(cli.Usagef("--resource: %s", err), "use the API's identifier: an https URL, or another absolute URI")
		}
	}
	if opts.Given("min-ttl") {
		want.MinTTL = &opts.MinTTL
		return want, app.CheckMinTTL(opts.MinTTL)
	}
	var err error
	want.MinTTL, err = app.ConfiguredMinTTL(a)
	return want, err
}
