// Package auth contains the commands for logins: login, token, refresh, status, logout,
// profile.
package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/session"
)

type loginOptions struct {
	Profile           ProfileFlags
	ClientSecretStdin bool          `flag:"client-secret-stdin" help:"read the client secret from stdin"`
	ClientSecretFile  string        `flag:"client-secret-file" empty:"refused" not:"client-secret-stdin" help:"read the client secret from a {FILE}"`
	PrivateKeyStdin   bool          `flag:"private-key-stdin" not:"client-secret-stdin private-key-file" help:"read the client's private key from stdin"`
	Device            bool          `flag:"device" not:"no-browser with-token" help:"print a code for a browser on any device"`
	NoBrowser         bool          `flag:"no-browser" help:"print the URL; paste the redirect URL back"`
	WithToken         bool          `flag:"with-token" not:"client-secret-stdin private-key-stdin no-browser" help:"read a token, or a token response, from stdin"`
	RevokeOld         bool          `flag:"revoke-old" help:"revoke the profile's current login first"`
	SwitchAccount     bool          `flag:"switch-account" help:"replace another account's login without asking"`
	LoginHint         string        `flag:"login-hint" empty:"refused" help:"{ACCOUNT} to propose, such as an email address"`
	Prompt            string        `flag:"prompt" empty:"refused" help:"{PAGE} the server must show, such as select_account"`
	Challenge         string        `flag:"challenge" empty:"refused" help:"get what an API's refusal in {FILE} requires"`
	Timeout           time.Duration `flag:"timeout" help:"{DURATION} to wait for the browser"`

	challenge *discovery.Challenge
}

func NewLogin(a *app.App) *cobra.Command {
	c := usage.Command(a, &cobra.Command{
		Use:   "login [PROFILE | URL]",
		Short: "Log in with a browser and store the login",
		Long: `Log in to an OAuth 2.0 or OpenID Connect server, and store the login in the OS
keyring. 'fob login github' uses a preset. fob asks for missing settings.

Without a browser on this machine, use --no-browser or --device. A new login does
not revoke the old one at the server: --revoke-old does. With the grant
client_credentials the client logs in as itself. With token-exchange or jwt-bearer
a CI job or machine authenticates at each 'fob token', and nothing is stored.`,
		Example: `  fob login github
  fob login work --issuer https://sso.example.com/realms/acme --client-id fob
  fob login api --resource https://api.example.com
  fob login svc --issuer URL --client-id svc --grant client_credentials`,
		Args: checkLoginArgs,
	}, loginOptions{Timeout: 5 * time.Minute}, runLogin, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitLoginRequired, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
	c.Flags().Lookup("timeout").DefValue = "5m"
	return c
}

// checkLoginArgs accepts a profile, or the URL of an API, whose profile is named after the host.
func checkLoginArgs(cmd *cobra.Command, args []string) error {
	if !isURL(args) {
		return usage.AtMostProfile(cmd, args)
	}
	if cmd.Flags().Changed("resource") {
		return cli.WithHint(cli.Usagef("both a URL and --resource"), "fob login NAME --resource URL")
	}
	return cmd.Flags().Set("resource", args[0])
}

func isURL(args []string) bool { return len(args) == 1 && strings.Contains(args[0], "://") }

// loginAttempt is a prepared login that only waits for the user.
type loginAttempt struct {
	profile      config.Profile // as it will be saved
	session      *session.Session
	client       *oauth.Client
	params       oauth.AuthorizationParams
	registration *oauth.Registration // made for this login
	restore      func() error        // undoes that the registration was stored; nil: it was not
	unpushed     bool                // the server accepts no pushed request from this client
	revoked      bool                // the previous login, by --revoke-old

	before        session.Account // of the profile's login in another storage or with another client
	switchAccount func(ctx context.Context, from, to session.Account) error
}

// login returns what to store after a successful attempt.
func (t *loginAttempt) login(response *oauth.TokenResponse) session.Login {
	return session.Login{
		Client: t.client, Response: response, Scopes: t.params.Scopes, Resource: t.params.Target().Resource, Grant: t.profile.Grant, ACRValues: t.params.Extra["acr_values"],
		KeyInFile: t.profile.PrivateKeyFile != "", Registration: t.registration, Before: t.before, Switch: t.switchAccount,
	}
}

func runLogin(ctx context.Context, a *app.App, args []string, opts loginOptions) error {
	if opts.Timeout <= 0 {
		return cli.WithHint(cli.Usagef("--timeout is %s", opts.Timeout), "write it like 90s or 5m")
	}
	a.MakesConfig = true
	var err error
	if opts.challenge, err = app.ReadChallenge(a, opts.Challenge); err != nil {
		return err
	}
	p, api, err := loginProfile(ctx, a, args, opts)
	if err != nil {
		return err
	}
	if err := checkFlow(p, opts); err != nil {
		return err
	}
	if app.ShowsIdentity(p) {
		return keepIdentityProfile(ctx, a, p)
	}
	attempt, err := prepareLogin(ctx, a, p, api, opts)
	if err != nil {
		return cli.ForLogin(err, p.Name)
	}
	attempt.switchAccount = confirmSwitch(a, p.Name, opts)
	if attempt.before, err = app.AccountElsewhere(ctx, a, attempt.profile, opts.SwitchAccount); err != nil {
		return errors.Join(cli.ForProfile(err, p.Name), unregisterUnused(ctx, attempt))
	}
	if opts.RevokeOld {
		if err := revokeOld(ctx, a, attempt); err != nil {
			return cli.ForLogin(err, p.Name)
		}
	}
	saved, err := logIn(ctx, a, attempt, opts)
	if err != nil {
		err = cli.ForLogin(commaHint(err, attempt.params.Scopes), p.Name)
		if left := attempt.previousLoginText(ctx); ctx.Err() != nil && left != "" {
			err = cli.Unfinishedf("%s", left)
		} else if left != "" {
			err = fmt.Errorf("%w; %s", err, left)
		}
		return errors.Join(err, unregisterUnused(ctx, attempt))
	}
	if err := saveLoginProfile(ctx, a, attempt); err != nil {
		return err
	}
	printWelcome(a, attempt, saved)
	return nil
}

func checkFlow(p config.Profile, opts loginOptions) error {
	if app.ShowsIdentity(p) && (opts.ClientSecretStdin || opts.ClientSecretFile != "" || opts.PrivateKeyStdin) {
		return cli.WithHint(cli.Usagef("the grant %s stores nothing, and uses no client secret", p.Grant), "leave it out; for a private key use --private-key-file")
	}
	if p.Grant != "" && (opts.Device || opts.WithToken || opts.NoBrowser) {
		return cli.WithHint(cli.Usagef("the grant %s has no interactive login", p.Grant), "leave out --device, --no-browser and --with-token, or use --grant %s", config.GrantAuthorizationCode)
	}
	return nil
}

// logIn runs the flow that was chosen, without offline_access if the server refuses that
// and the user did not request it.
func logIn(ctx context.Context, a *app.App, attempt *loginAttempt, opts loginOptions) (*session.Saved, error) {
	saved, err := runFlow(ctx, a, attempt, opts)
	scopes := app.Subtract(attempt.params.Scopes, []string{session.OfflineAccess})
	if !refusesScope(err) || len(scopes) == len(attempt.params.Scopes) || len(attempt.profile.Scopes) > 0 {
		return saved, err
	}
	a.Note("The server refuses the scope offline_access: fob logs in without it.")
	attempt.params.Scopes = scopes
	return runFlow(ctx, a, attempt, opts)
}

func refusesScope(err error) bool {
	refused, inCallback := errors.AsType[*oauth.AuthorizationError](err)
	return inCallback && refused.Code == "invalid_scope" || oauth.HasCode(err, "invalid_scope")
}

func runFlow(ctx context.Context, a *app.App, attempt *loginAttempt, opts loginOptions) (*session.Saved, error) {
	switch {
	case opts.WithToken:
		return tokenLogin(ctx, a, attempt)
	case config.IsUnattended(attempt.profile.Grant):
		return clientLogin(ctx, attempt)
	case opts.Device:
		return deviceLogin(ctx, a, attempt, opts)
	}
	return browserLogin(ctx, a, attempt, opts)
}

func saveLoginProfile(ctx context.Context, a *app.App, attempt *loginAttempt) error {
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	before, known := cfg.Profiles[attempt.profile.Name]
	if err := a.SaveProfile(attempt.profile); err != nil {
		return fmt.Errorf("the login is stored, but not its profile: %w", err)
	}
	if known {
		app.ForgetElsewhere(ctx, a, cfg, before, attempt.profile)
	}
	return nil
}

// prepareLogin does everything that can fail before the browser opens. A registration, the
// only visible effect at the server, comes last.
func prepareLogin(ctx context.Context, a *app.App, p config.Profile, api *discovery.ProtectedResource, opts loginOptions) (*loginAttempt, error) {
	s, err := chooseStorage(ctx, a, &p, opts.Profile.Storage != "")
	if err != nil {
		return nil, err
	}
	metadata, err := session.ServerMetadata(ctx, s.HTTP, p.WithProvider())
	if err != nil {
		return nil, noMetadataHint(err)
	}
	session.CompleteScopes(&p, metadata, api, opts.challenge != nil)
	attempt := &loginAttempt{profile: p, session: s}
	if err := identifyClient(ctx, a, attempt, metadata, opts); err != nil {
		return nil, errors.Join(err, unregisterUnused(ctx, attempt))
	}
	attempt.params = session.AuthorizationParams(attempt.profile.WithProvider(), metadata, api)
	opts.addAccount(attempt.params.Extra)
	return attempt, nil
}

// addAccount adds which account is to log in. Consent, without which there may be no refresh
// token, is still requested.
func (o loginOptions) addAccount(params map[string]string) {
	if o.LoginHint != "" {
		params["login_hint"] = o.LoginHint
	}
	if o.Prompt != "" {
		if params["prompt"] == "consent" && o.Prompt != "none" && !strings.Contains(o.Prompt, "consent") {
			o.Prompt += " consent"
		}
		params["prompt"] = o.Prompt
	}
}

// confirmSwitch asks before a login replaces that of another account, because another user
// may have completed it.
func confirmSwitch(a *app.App, profile string, opts loginOptions) func(ctx context.Context, from, to session.Account) error {
	return func(ctx context.Context, from, to session.Account) error {
		if opts.SwitchAccount {
			return nil
		}
		before, after := accountText(from), accountText(to)
		if before == after {
			id := func(a session.Account) string { return " (" + cmp.Or(app.NewAccount(a).Subject, "no ID") + ")" }
			before, after = before+id(from), after+id(to)
		}
		unasked := cli.WithHint(cli.Usagef("refusing to replace the login of %s with one of %s without confirmation (not a terminal)", before, after),
			"if that is the right account, add --switch-account to the same command")
		err := a.Confirm(ctx, fmt.Sprintf("%s is logged in as %s. Replace that login with one of %s?", profile, before, after), unasked)
		if err == nil || app.IsUsage(err) || ctx.Err() != nil {
			return err
		}
		return errors.New("not confirmed")
	}
}

func accountText(of session.Account) string {
	return cmp.Or(app.NewAccount(of).String(), "an unnamed account")
}

// noMetadataHint adds what to do about a server without metadata at its issuer's URL.
func noMetadataHint(err error) error {
	if errors.As(err, new(*httpclient.StatusError)) && !errors.Is(err, oauth.ErrUnavailable) {
		return cli.WithHint(err, "check the issuer URL: some have a path, like /realms/NAME. A server without metadata needs --authorization-endpoint and --token-endpoint")
	}
	return err
}

const scopesHint = "separate scopes with spaces, not commas: --scope 'openid email'"

// commaHint explains how to separate scopes, if the server did not recognize the requested
// ones. Some servers accept commas, so fob does not reject them in advance.
func commaHint(err error, scopes []string) error {
	if refusesScope(err) && strings.Contains(strings.Join(scopes, " "), ",") {
		return cli.WithHint(err, scopesHint)
	}
	return err
}

// previousLoginText returns the state of the login that this one would have replaced.
func (t *loginAttempt) previousLoginText(ctx context.Context) string {
	switch state := t.session.Status(context.WithoutCancel(ctx)).State; {
	case t.revoked:
		return "the previous login was revoked"
	case t.before != session.Account{}, state != session.StateLoggedOut && state != session.StateEnded:
		return "the previous login is unchanged"
	}
	return ""
}

// revokeOld ends the previous login at the server, before its tokens are overwritten.
func revokeOld(ctx context.Context, a *app.App, attempt *loginAttempt) error {
	if account := attempt.session.Status(ctx).Account; account != (session.Account{}) {
		a.Note("Revoking the login of %s first (--revoke-old): it ends even if the new login fails.", accountText(account))
	}
	steps, err := attempt.session.Revoke(ctx)
	if errors.Is(err, session.ErrLoginRequired) {
		return nil
	}
	attempt.revoked = slices.ContainsFunc(steps, func(step session.Step) bool { return step.Err == nil })
	provider, _ := config.FindProvider(attempt.profile.Provider)
	if reportErr := reportSteps(a, attempt.profile, provider, steps); reportErr != nil {
		return reportErr
	}
	return err
}

// printWelcome prints who is logged in, and where the login differs from the request.
func printWelcome(a *app.App, attempt *loginAttempt, saved *session.Saved) {
	t := a.ErrTerminal()
	who := cli.Painted("")
	if name := app.NewAccount(saved.Account).String(); name != "" {
		who = " as " + t.Bold(name)
	}
	name := attempt.profile.Name
	a.Note("Logged in to %s%s. The login is stored in %s.", t.Bold(name), who, app.StorageText(attempt.profile.Storage))
	missing := app.Subtract(attempt.params.Scopes, strings.Fields(saved.Scope))
	if saved.Refreshable { // some servers, such as GitHub, do not list this scope
		missing = app.Subtract(missing, []string{session.OfflineAccess})
	}
	if len(missing) > 0 {
		a.Note("The server did not grant: %s", sanitize.Line(strings.Join(missing, " ")))
		if strings.Contains(strings.Join(missing, " "), ",") {
			a.Note("hint: %s", scopesHint)
		}
	}
	if extra := app.Subtract(strings.Fields(saved.Scope), attempt.params.Scopes); len(extra) > 0 {
		a.Note("The server also granted: %s", sanitize.Line(strings.Join(extra, " ")))
	}
	switch end := saved.Token.ExpiresAt; {
	case config.IsUnattended(attempt.profile.Grant):
		a.Note("fob fetches a token when one is needed.")
	case saved.Refreshable && !attempt.client.Metadata.OpenID && slices.Contains(attempt.params.Scopes, session.OfflineAccess):
		a.Note("The server issued a refresh token: fob refreshes the access token when it expires.")
	case saved.Refreshable:
	case end.IsZero():
		a.Note("The server issued no refresh token: fob uses this token until the server refuses it.")
	default:
		a.Note("The server issued no refresh token: this login expires at %s. Most servers require the scope offline_access for one.", cli.TimeText(end))
	}
	a.Note("Next: fob token %s", name)
}
