package auth

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/complete"
	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/session"
)

type tokenOptions struct {
	args                  []string
	minTTL                time.Duration
	minTTLGiven           bool
	challengeFile         string
	forceRefresh, idToken bool
	scopes                []string
	resource              string

	header, curlConfig, json, inspect, mask bool
	netrc                                   string // the host
	env, shell                              string // the variable, and the shell to set it in
	dpopMethod, dpopURL, dpopNonce          string
}

func NewToken(a *app.App) *cobra.Command {
	var opts tokenOptions
	c := &cobra.Command{
		Use:   "token [PROFILE]",
		Short: "Print a fresh access token",
		Long: `Print an access token that is valid for at least --min-ttl, and nothing else. fob
refreshes a token that is about to expire: once, also if many scripts run at the
same time. It never opens a browser.

--scope and --resource request a token with fewer scopes, or for another API. If
the login uses DPoP, --dpop METHOD URL prints the token with the proof for one
request. FOB_TOKEN_<PROFILE>, FOB_TOKEN (without a PROFILE) and
FOB_REFRESH_TOKEN_<PROFILE> take precedence over the stored login.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitLoginRequired, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitRefused, cli.ExitInterrupted),
		Example: `  fob token work --header | curl -H @- https://api.example.com/me
  TOKEN=$(fob token work) || exit
  fob token work --curl-config | curl -K - https://api.example.com/me
  fob token work --scope read --min-ttl 10m
  fob token work --dpop GET https://api.example.com/me`,
		Args:              tokenArgs(&opts),
		ValidArgsFunction: complete.New(a).Profiles,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.minTTLGiven = cmd.Flags().Changed("min-ttl")
			return runToken(cmd.Context(), a, opts)
		},
	}
	flags := c.Flags()
	flags.DurationVar(&opts.minTTL, "min-ttl", session.DefaultMinTTL, "minimum `DURATION` that the token remains valid")
	flags.BoolVar(&opts.forceRefresh, "force-refresh", false, "refresh even if the cached token is valid")
	flags.StringArrayVar(&opts.scopes, "scope", nil, "request only these `SCOPES`")
	flags.StringVar(&opts.resource, "resource", "", "request a token for the API at this `URL`")
	flags.StringVar(&opts.challengeFile, "challenge", "", "print one that satisfies an API's refusal in `FILE`")
	flags.BoolVar(&opts.idToken, "id-token", false, "print the OpenID Connect id_token instead")
	flags.BoolVar(&opts.inspect, "inspect", false, "print the claims of a JWT, not the token")
	flags.BoolVar(&opts.header, "header", false, "print an Authorization header, for curl -H @-")
	flags.BoolVar(&opts.curlConfig, "curl-config", false, "print a configuration for curl -K -")
	flags.StringVar(&opts.netrc, "netrc", "", "print a line of a .netrc for this `HOST`")
	flags.StringVar(&opts.env, "env", "", "print the command that sets this `VARIABLE` in a shell")
	flags.StringVar(&opts.shell, "shell", cli.DefaultShell(), "the `SHELL` of --env: "+strings.Join(cli.Shells, ", "))
	flags.BoolVar(&opts.mask, "mask", false, "have the CI system mask the token in its log")
	flags.StringVar(&opts.dpopMethod, "dpop", "", "print the headers of one request: `METHOD` URL")
	flags.StringVar(&opts.dpopNonce, "dpop-nonce", "", "`NONCE` that the API requires")
	flags.BoolVar(&opts.json, "json", false, "print JSON")
	usage.Exclusive(c, "header", "curl-config", "netrc", "env", "json")
	usage.Exclusive(c, "header", "curl-config", "netrc", "env", "inspect", "dpop")
	usage.Exclusive(c, "json", "dpop")
	usage.Exclusive(c, "challenge", "scope", "dpop")
	usage.Exclusive(c, "id-token", "header", "curl-config", "netrc")
	usage.RefuseEmpty(c, "netrc", "env", "scope", "resource")
	_ = c.RegisterFlagCompletionFunc("shell", cobra.FixedCompletions(cli.Shells, cobra.ShellCompDirectiveNoFileComp))
	usage.Exclusive(c, "id-token", "dpop")
	return c
}

// tokenArgs accepts a profile, and with --dpop the URL of a request after it.
func tokenArgs(opts *tokenOptions) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		opts.args = args
		if opts.dpopMethod == "" && opts.dpopNonce != "" {
			return cli.WithHint(cli.Usagef("--dpop-nonce requires --dpop"), "run 'fob token PROFILE --dpop GET --dpop-nonce NONCE https://api.example.com/me'")
		}
		if opts.dpopMethod == "" {
			return usage.AtMostProfile(cmd, args)
		}
		if len(args) == 0 || len(args) > 2 || !strings.Contains(args[len(args)-1], ":") {
			return cli.WithHint(cli.Usagef("--dpop requires a method and a URL"), "run 'fob token PROFILE --dpop GET https://api.example.com/me'")
		}
		opts.dpopURL, opts.args = args[len(args)-1], args[:len(args)-1]
		if err := oauth.CheckURL(opts.dpopURL); err != nil {
			return cli.WithHint(cli.Usagef("the URL of the request: %s", err), "use an https URL; http is only for loopback addresses")
		}
		if strings.Trim(opts.dpopMethod, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
			return cli.WithHint(cli.Usagef("%q is not an HTTP method", opts.dpopMethod), "use capitals: GET, POST")
		}
		return usage.CheckNames(opts.args)
	}
}

func runToken(ctx context.Context, a *app.App, opts tokenOptions) error {
	want, err := tokenRequest(a, opts)
	if err != nil {
		return err
	}
	if err := checkTokenForm(opts); err != nil {
		return err
	}
	named, err := a.Choice(opts.args)
	if err != nil {
		return err
	}
	a.OnlyProfile = named.Name
	given, err := a.TokenFromEnv(named.Name, want)
	if err != nil {
		return err
	}
	if given != nil && opts.challengeFile != "" {
		return cli.WithHint(cli.Usagef("the token in the environment cannot be replaced"), "leave out --challenge, or unset the variable")
	}
	if given != nil && opts.dpopMethod != "" {
		return cli.WithHint(cli.Usagef("the token in the environment is not bound to a key"), "leave out --dpop, or unset the variable")
	}
	if given != nil {
		return printToken(a, given, opts)
	}
	if opts.challengeFile == "" && opts.dpopMethod == "" {
		token, err := a.OwnAgentToken(ctx, named.Name, want)
		if err != nil {
			return cli.ForProfile(err, named.Name)
		}
		if token != nil {
			return printToken(a, token, opts)
		}
	}
	p, err := a.TokenProfile(opts.args)
	if err != nil {
		return err
	}
	if opts.dpopMethod != "" {
		return cli.ForProfile(printBound(ctx, a, p, want, opts), p.Name)
	}
	challenge, err := app.ReadChallenge(a, opts.challengeFile)
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
	want := session.TokenOptions{Target: session.NewTarget(opts.scopes, opts.resource), ForceRefresh: opts.forceRefresh, WantIDToken: opts.idToken}
	if opts.resource != "" {
		if err := oauth.CheckResource(opts.resource); err != nil {
			return want, cli.WithHint(cli.Usagef("--resource: %s", err), "use the API's identifier: an https URL, or another absolute URI")
		}
	}
	if opts.minTTLGiven {
		want.MinTTL = &opts.minTTL
		return want, app.CheckMinTTL(opts.minTTL)
	}
	var err error
	want.MinTTL, err = app.ConfiguredMinTTL(a)
	return want, err
}
