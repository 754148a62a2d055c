package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/safetext"
	"github.com/fobcli/fob/internal/session"
)

type loginOptions struct {
	args              []string
	profile           profileFlags
	clientSecretStdin bool
	clientSecretFile  string
	noBrowser         bool
	withToken         bool
	revokeOld         bool
	timeout           time.Duration
}

func newLoginCmd(a *app) *cobra.Command {
	var opts loginOptions
	c := &cobra.Command{
		Use:   "login [PROFILE]",
		Short: "Log in with a browser and keep the login",
		Long: `Log in at an OAuth 2.0 or OpenID Connect server and keep the login, sealed, in
the OS keyring. PROFILE names the login; 'fob login github' uses the preset of
that name. What is missing is asked for on a terminal.

The browser comes back to a loopback address of this machine. With --no-browser
the URL is only shown: open it anywhere, and paste the address that the browser
ends on. A new login replaces the old one here and does not end it at the server,
unless --revoke-old is given.

With --with-token no browser is used: stdin holds an access token, or the JSON of
a token response (RFC 6749 section 5.1) with its refresh token.

` + exitHelp(exitDone, exitFailed, exitUsage, exitUnavailable, exitStorage, exitLockTimeout, exitInterrupted),
		Example: `  fob login github
  fob login work --issuer https://sso.example.com/realms/acme --client-id fob
  fob login work --client-secret-file secret.txt --no-browser`,
		Args:              atMostProfile,
		ValidArgsFunction: a.completeProfiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.args = args
			return runLogin(cmd.Context(), a, opts)
		},
	}
	opts.profile.register(c)
	flags := c.Flags()
	flags.BoolVar(&opts.clientSecretStdin, "client-secret-stdin", false, "read the client secret from stdin")
	flags.StringVar(&opts.clientSecretFile, "client-secret-file", "", "read the client secret from a `FILE`")
	flags.BoolVar(&opts.noBrowser, "no-browser", false, "show the URL, and take the redirect URL pasted back")
	flags.BoolVar(&opts.withToken, "with-token", false, "read a token, or the JSON of a token response, from stdin")
	flags.BoolVar(&opts.revokeOld, "revoke-old", false, "revoke the profile's present login first")
	flags.DurationVar(&opts.timeout, "timeout", 5*time.Minute, "how long to wait for the browser")
	c.MarkFlagsMutuallyExclusive("client-secret-stdin", "client-secret-file")
	c.MarkFlagsMutuallyExclusive("client-secret-stdin", "with-token")
	c.MarkFlagsMutuallyExclusive("no-browser", "with-token")
	return c
}

// loginAttempt is a login for which everything is settled but the person's yes.
type loginAttempt struct {
	profile config.Profile // as it will be saved
	session *session.Session
	client  *oauth.Client
	scopes  []string
	params  map[string]string // of the authorization request
}

func runLogin(ctx context.Context, a *app, opts loginOptions) error {
	if opts.timeout <= 0 {
		return withHint(usagef("--timeout is %s", opts.timeout), "write it like 90s or 5m")
	}
	attempt, err := a.prepareLogin(ctx, opts)
	if err != nil {
		return err
	}
	name := attempt.profile.Name
	if opts.revokeOld {
		if err := a.revokeOld(ctx, attempt); err != nil {
			return forProfile(err, name)
		}
	}
	login := a.browserLogin
	if opts.withToken {
		login = a.tokenLogin
	}
	saved, err := login(ctx, attempt, opts)
	if err != nil {
		return forProfile(err, name)
	}
	paths, err := a.paths()
	if err != nil {
		return err
	}
	cfg, err := config.Load(paths.Config)
	if err != nil {
		return err
	}
	before, known := cfg.Profiles[name]
	if err := config.SaveProfile(paths.Config, attempt.profile); err != nil {
		return fmt.Errorf("the login is stored, but not its profile: %w", err)
	}
	if known {
		a.forgetElsewhere(ctx, cfg, before, attempt.profile)
	}
	a.welcome(attempt, saved)
	return nil
}

// prepareLogin settles everything that can fail before the browser opens.
func (a *app) prepareLogin(ctx context.Context, opts loginOptions) (*loginAttempt, error) {
	p, err := a.loginProfile(ctx, opts)
	if err != nil {
		return nil, err
	}
	s, err := a.chooseStorage(ctx, &p, opts.profile.storage != "")
	if err != nil {
		return nil, forProfile(err, p.Name)
	}
	full := p.WithProvider()
	clientSecret, err := a.clientSecret(ctx, s, full, opts)
	if err != nil {
		return nil, err
	}
	metadata, err := serverMetadata(ctx, s, full)
	if err != nil {
		return nil, err
	}
	client := &oauth.Client{HTTP: s.HTTP, Metadata: metadata, ClientID: p.ClientID, ClientSecret: clientSecret, Now: a.now}
	if err := client.UseAuthMethod(full.TokenEndpointAuthMethod); err != nil {
		return nil, withHint(usagef("%s", err), "give --client-secret-stdin or --client-secret-file")
	}
	scopes := defaultScopes(full, metadata)
	return &loginAttempt{profile: p, session: s, client: client, scopes: scopes, params: authParams(full, metadata, scopes)}, nil
}

// serverMetadata is what the server says of itself, with the endpoints that the
// profile or its preset name laid over it. It asks nothing where those suffice.
func serverMetadata(ctx context.Context, s *session.Session, p config.Profile) (*oauth.Metadata, error) {
	m := &oauth.Metadata{Issuer: p.Issuer}
	if p.AuthorizationEndpoint == "" || p.TokenEndpoint == "" {
		discovered, err := oauth.Discover(ctx, s.HTTP, p.Issuer)
		if err != nil {
			return nil, fmt.Errorf("learning about %s: %w", safetext.Line(p.Issuer), err)
		}
		m = discovered
	}
	for _, explicit := range []struct {
		url   string
		field *string
	}{
		{p.AuthorizationEndpoint, &m.AuthorizationEndpoint},
		{p.TokenEndpoint, &m.TokenEndpoint},
		{p.RevocationEndpoint, &m.RevocationEndpoint},
		{p.UserinfoEndpoint, &m.UserinfoEndpoint},
	} {
		if explicit.url == "" {
			continue
		}
		if err := oauth.CheckURL(explicit.url); err != nil {
			return nil, err
		}
		*explicit.field = explicit.url
	}
	return m, nil
}

// defaultScopes are the profile's or its preset's, else what a login with a
// name and a refresh token needs, as far as the server supports it.
func defaultScopes(p config.Profile, m *oauth.Metadata) []string {
	if len(p.Scopes) > 0 {
		return p.Scopes
	}
	var scopes []string
	for _, scope := range []string{"openid", "profile", "email", "offline_access"} {
		if slices.Contains(m.ScopesSupported, scope) || len(m.ScopesSupported) == 0 && m.OpenID {
			scopes = append(scopes, scope)
		}
	}
	return scopes
}

// authParams are the preset's; elsewhere OIDC Core §11 wants prompt=consent
// before it grants offline_access.
func authParams(p config.Profile, m *oauth.Metadata, scopes []string) map[string]string {
	if provider, ok := config.FindProvider(p.Provider); ok && len(provider.AuthParams) > 0 {
		return provider.AuthParams
	}
	if m.OpenID && slices.Contains(scopes, "offline_access") {
		return map[string]string{"prompt": "consent"}
	}
	return nil
}

// revokeOld ends the present login at the server, while its tokens are still known.
func (a *app) revokeOld(ctx context.Context, attempt *loginAttempt) error {
	steps, err := attempt.session.Revoke(ctx)
	if errors.Is(err, session.ErrLoginRequired) {
		return nil
	}
	provider, _ := config.FindProvider(attempt.profile.Provider)
	if reportErr := a.reportSteps(attempt.profile, provider, steps); reportErr != nil {
		return reportErr
	}
	return err
}

// forgetElsewhere deletes the login before from a storage that the profile has
// left: what no profile points to is never found again.
func (a *app) forgetElsewhere(ctx context.Context, cfg *config.Config, before, after config.Profile) {
	from, err := a.storageName(cfg, before)
	if err != nil || from == after.Storage {
		return
	}
	s, err := a.session(before)
	if err == nil {
		err = s.ForgetRecord(ctx)
	}
	if err != nil {
		a.note("warning: the login before is still in the storage %q: %s", from, err)
	}
}

// tokenLogin stores a token that came on stdin.
func (a *app) tokenLogin(ctx context.Context, attempt *loginAttempt, _ loginOptions) (*session.Saved, error) {
	text, err := readSecret(a.stdin, "stdin")
	if err != nil {
		return nil, err
	}
	given, err := attempt.client.GivenToken(text)
	if err != nil {
		return nil, withHint(usagef("the token on stdin: %s", err), "give one access token, or the JSON of a token response")
	}
	brought := given.RefreshToken.IsZero()
	if !brought {
		// A refresh proves the token, and takes it out of the hands it came from
		// where the server rotates.
		fresh, err := attempt.client.Refresh(ctx, given.RefreshToken)
		if err != nil {
			return nil, fmt.Errorf("trying the given refresh token: %w", err)
		}
		if fresh.RefreshToken.IsZero() {
			fresh.RefreshToken = given.RefreshToken
		}
		given = fresh
	} else if err := tryToken(ctx, attempt.client, given); err != nil {
		return nil, err
	}
	return attempt.session.Save(ctx, session.Login{Client: attempt.client, Response: given, Scopes: attempt.scopes, Brought: brought})
}

// tryToken asks the server about an access token that a user brings, where there
// is an endpoint for that.
func tryToken(ctx context.Context, client *oauth.Client, given *oauth.TokenResponse) error {
	access, err := given.AccessToken()
	if err != nil || client.Metadata.UserinfoEndpoint == "" {
		return err
	}
	if _, err := client.Userinfo(ctx, access.Value, ""); errors.Is(err, oauth.ErrTokenRefused) {
		return fmt.Errorf("trying the given token: %w", err)
	}
	return nil
}

// welcome says who is logged in, and where the login differs from what was asked.
func (a *app) welcome(attempt *loginAttempt, saved *session.Saved) {
	t := a.errTerminal()
	who := newAccount(saved.Account).String()
	if who != "" {
		who = " as " + t.bold(who)
	}
	place := "the OS keyring"
	if attempt.profile.Storage == storageFile {
		place = "an encrypted file"
	}
	name := attempt.profile.Name
	a.note("Logged in to %s%s. The login is kept in %s.", t.bold(name), who, place)
	if missing := without(attempt.scopes, strings.Fields(saved.Scope)); len(missing) > 0 {
		a.note("The server did not grant: %s", safetext.Line(strings.Join(missing, " ")))
	}
	if extra := without(strings.Fields(saved.Scope), attempt.scopes); len(extra) > 0 {
		a.note("The server granted more than was asked: %s", safetext.Line(strings.Join(extra, " ")))
	}
	switch end := saved.Token.ExpiresAt; {
	case saved.Refreshable:
	case end.IsZero():
		a.note("The server gave no refresh token: this token is used until the server refuses it.")
	default:
		a.note("The server gave no refresh token: this login ends at %s. Most servers want the scope offline_access for one.", timeText(end))
	}
	a.note("Next: fob token %s", name)
}

// without returns the members of a that b lacks.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}
