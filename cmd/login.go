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
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/safetext"
	"github.com/fobcli/fob/internal/session"
)

type loginOptions struct {
	args              []string
	profile           profileFlags
	clientSecretStdin bool
	clientSecretFile  string
	privateKeyStdin   bool
	device            bool
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
that name. What is missing is asked for on a terminal; where the server registers
clients, fob registers itself.

The browser comes back to a loopback address of this machine. With --no-browser
the URL is only shown: open it anywhere, and paste the address that the browser
ends on. With --device a code is shown that you enter in a browser anywhere. A new
login replaces the old one here and does not end it at the server, unless
--revoke-old is given.

With --with-token no browser is used: stdin holds an access token, or the JSON of
a token response (RFC 6749 section 5.1) with its refresh token. With --grant
client_credentials the client logs in as itself. With --grant token-exchange or
jwt-bearer nothing is stored: 'fob token' shows the identity of the machine or CI
job that it runs in, which --identity names, and gets a new token for it each time.

` + exitHelp(exitDone, exitFailed, exitUsage, exitLoginRequired, exitUnavailable, exitStorage, exitLockTimeout, exitInterrupted),
		Example: `  fob login github
  fob login work --issuer https://sso.example.com/realms/acme --client-id fob
  fob login work --device
  fob login api --resource https://api.example.com
  fob login svc --issuer https://sso.example.com --client-id svc --grant client_credentials --client-secret-file secret.txt`,
		Args:              atMostProfile,
		ValidArgsFunction: a.completeLogins,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.args = args
			return runLogin(cmd.Context(), a, opts)
		},
	}
	opts.profile.register(c)
	flags := c.Flags()
	flags.BoolVar(&opts.clientSecretStdin, "client-secret-stdin", false, "read the client secret from stdin")
	flags.StringVar(&opts.clientSecretFile, "client-secret-file", "", "read the client secret from a `FILE`, and keep it with the login")
	flags.BoolVar(&opts.privateKeyStdin, "private-key-stdin", false, "read the client's private key (PEM or JWK) from stdin, and keep it with the login")
	flags.BoolVar(&opts.device, "device", false, "show a code to enter in a browser on any device")
	flags.BoolVar(&opts.noBrowser, "no-browser", false, "show the URL, and take the redirect URL pasted back")
	flags.BoolVar(&opts.withToken, "with-token", false, "read a token, or the JSON of a token response, from stdin")
	flags.BoolVar(&opts.revokeOld, "revoke-old", false, "revoke the profile's present login first")
	flags.DurationVar(&opts.timeout, "timeout", 5*time.Minute, "how long to wait for the browser")
	exclusive(c, "client-secret-stdin", "client-secret-file")
	exclusive(c, "client-secret-stdin", "private-key-stdin", "with-token")
	exclusive(c, "private-key-file", "private-key-stdin")
	exclusive(c, "no-browser", "with-token", "device")
	return c
}

// loginAttempt is a login for which everything is settled but the person's yes.
type loginAttempt struct {
	profile      config.Profile // as it will be saved
	session      *session.Session
	client       *oauth.Client
	params       oauth.AuthorizationParams
	registration *oauth.Registration // that was made for this login
}

// login is what a finished attempt brings to the session.
func (t *loginAttempt) login(response *oauth.TokenResponse) session.Login {
	return session.Login{
		Client: t.client, Response: response, Scopes: t.params.Scopes, Resource: t.params.Target().Resource, Grant: t.profile.Grant,
		KeyInFile: t.profile.PrivateKeyFile != "", Registration: t.registration,
	}
}

func runLogin(ctx context.Context, a *app, opts loginOptions) error {
	if opts.timeout <= 0 {
		return withHint(usagef("--timeout is %s", opts.timeout), "write it like 90s or 5m")
	}
	a.makesConfig = true
	p, err := a.loginProfile(ctx, opts)
	if err != nil {
		return err
	}
	if err := checkWay(p, opts); err != nil {
		return err
	}
	if showsIdentity(p) {
		return a.keepIdentityProfile(ctx, p)
	}
	attempt, err := a.prepareLogin(ctx, p, opts)
	if err != nil {
		return forProfile(err, p.Name)
	}
	if opts.revokeOld {
		if err := a.revokeOld(ctx, attempt); err != nil {
			return forProfile(err, p.Name)
		}
	}
	saved, err := a.wayIn(attempt, opts)(ctx, attempt, opts)
	if err != nil {
		err = commaHint(err, attempt.params.Scopes)
		return errors.Join(forProfile(err, p.Name), a.unregisterUnused(ctx, attempt))
	}
	if err := a.saveLoginProfile(ctx, attempt); err != nil {
		return err
	}
	a.welcome(attempt, saved)
	return nil
}

// checkWay refuses ways in that exclude each other.
func checkWay(p config.Profile, opts loginOptions) error {
	if err := opts.profile.checkGrant(p); err != nil {
		return err
	}
	if showsIdentity(p) && (opts.clientSecretStdin || opts.clientSecretFile != "" || opts.privateKeyStdin) {
		return withHint(usagef("with the grant %s nothing is stored, and no secret of a client", p.Grant), "leave it out; a key may lie in a file: --private-key-file")
	}
	if p.Grant != "" && (opts.device || opts.withToken || opts.noBrowser) {
		return withHint(usagef("with the grant %s nobody logs in", p.Grant), "leave out --device, --no-browser and --with-token, or give --grant %s", config.GrantAuthorizationCode)
	}
	return nil
}

// wayIn is how this login is made.
func (a *app) wayIn(attempt *loginAttempt, opts loginOptions) func(context.Context, *loginAttempt, loginOptions) (*session.Saved, error) {
	switch {
	case opts.withToken:
		return a.tokenLogin
	case attempt.profile.Grant == config.GrantClientCredentials:
		return a.clientLogin
	case opts.device:
		return a.deviceLogin
	}
	return a.browserLogin
}

// saveLoginProfile makes the configuration name what was logged in to.
func (a *app) saveLoginProfile(ctx context.Context, attempt *loginAttempt) error {
	paths, err := a.paths()
	if err != nil {
		return err
	}
	cfg, err := config.Load(paths.Config)
	if err != nil {
		return err
	}
	before, known := cfg.Profiles[attempt.profile.Name]
	if err := config.SaveProfile(paths.Config, attempt.profile); err != nil {
		return fmt.Errorf("the login is stored, but not its profile: %w", err)
	}
	if known {
		a.forgetElsewhere(ctx, cfg, before, attempt.profile)
	}
	return nil
}

// prepareLogin settles everything that can fail before the browser opens. Of that
// only a registration is seen at the server, so that it comes last.
func (a *app) prepareLogin(ctx context.Context, p config.Profile, opts loginOptions) (*loginAttempt, error) {
	s, err := a.chooseStorage(ctx, &p, opts.profile.Storage != "")
	if err != nil {
		return nil, err
	}
	metadata, err := session.ServerMetadata(ctx, s.HTTP, p.WithProvider())
	if err != nil {
		return nil, noMetadata(err)
	}
	session.CompleteScopes(ctx, s.HTTP, &p, metadata)
	attempt := &loginAttempt{profile: p, session: s}
	if p.ClientID == "" {
		if err := a.register(ctx, attempt, metadata, opts); err != nil {
			return nil, err
		}
	}
	full := attempt.profile.WithProvider()
	if attempt.client, err = a.oauthClient(ctx, attempt, metadata, opts); err != nil {
		return nil, errors.Join(err, a.unregisterUnused(ctx, attempt))
	}
	attempt.params = session.AuthorizationParams(full, metadata)
	return attempt, nil
}

// noMetadata says what to do where a server has no metadata at its issuer's address.
func noMetadata(err error) error {
	var status *httpclient.StatusError
	if errors.As(err, &status) && !errors.Is(err, oauth.ErrUnavailable) {
		return withHint(err, "see the issuer's URL: some need a path, like /realms/NAME. A server without metadata needs --authorization-endpoint and --token-endpoint")
	}
	return err
}

const separateByBlanks = "blanks separate scopes, not commas: --scope 'openid email'"

// commaHint says how scopes are separated, where a server does not know those that
// were asked for. Some take commas, so that nothing is refused beforehand.
func commaHint(err error, scopes []string) error {
	var refusal *oauth.Error
	if errors.As(err, &refusal) && refusal.Code == "invalid_scope" && strings.Contains(strings.Join(scopes, " "), ",") {
		return withHint(err, separateByBlanks)
	}
	return err
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
	s, err := a.localSession(before)
	if err == nil {
		err = s.ForgetRecord(ctx)
	}
	if err != nil {
		a.note("warning: the login before is still in the storage %q: %s", from, err)
	}
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
	if missing := without(attempt.params.Scopes, strings.Fields(saved.Scope)); len(missing) > 0 {
		a.note("The server did not grant: %s", safetext.Line(strings.Join(missing, " ")))
		if strings.Contains(strings.Join(missing, " "), ",") {
			a.note("hint: %s", separateByBlanks)
		}
	}
	if extra := without(strings.Fields(saved.Scope), attempt.params.Scopes); len(extra) > 0 {
		a.note("The server granted more than was asked: %s", safetext.Line(strings.Join(extra, " ")))
	}
	switch end := saved.Token.ExpiresAt; {
	case attempt.profile.Grant == config.GrantClientCredentials:
		a.note("Tokens are fetched when they are asked for.")
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
