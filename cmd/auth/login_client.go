package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/jwt"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/session"
)

// identifyClient registers a client if the profile has none, or the server has forgotten
// the one that fob registered.
func identifyClient(ctx context.Context, a *app.App, attempt *loginAttempt, m *discovery.Metadata, opts loginOptions) (err error) {
	p := &attempt.profile
	if p.ClientID == "" {
		if err := register(ctx, a, attempt, m, opts); err != nil {
			return err
		}
	}
	if attempt.client, err = oauthClient(ctx, a, attempt, m, opts); err != nil {
		return err
	}
	if attempt.registration != nil {
		return keepRegistration(ctx, a, attempt)
	}
	// A client that was just challenged is known to the server.
	if opts.challenge != nil || m.RegistrationEndpoint == "" || !attempt.session.Credentials(ctx).Registered || !attempt.client.IsForgotten(ctx, p.Redirect()) {
		return nil
	}
	a.Note("The server no longer knows the client that fob registered.")
	if attempt.session.Status(ctx).State == session.StateLoggedOut { // only the client is stored
		if err := attempt.session.Forget(ctx); err != nil {
			return err
		}
	}
	p.ClientID = ""
	return identifyClient(ctx, a, attempt, m, opts)
}

// keepRegistration stores a new client before the browser opens, so that an interrupted
// login is repeated with it. A profile that has a login keeps that until it is replaced.
func keepRegistration(ctx context.Context, a *app.App, attempt *loginAttempt) error {
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	before, known := cfg.Profiles[attempt.profile.Name]
	if known && before.ClientID != "" && attempt.session.Status(ctx).State != session.StateLoggedOut {
		return nil
	}
	saved, err := attempt.session.SaveClient(ctx, attempt.client, attempt.registration)
	if err != nil || !saved {
		return err
	}
	attempt.restore = func() error {
		err := attempt.session.Forget(context.WithoutCancel(ctx))
		if before.ClientID = ""; known {
			return errors.Join(err, a.SaveProfile(before))
		}
		return errors.Join(err, config.RemoveProfile(cfg.Paths.Config, attempt.profile.Name))
	}
	return a.SaveProfile(attempt.profile)
}

// register makes fob a client of the server: by the document about it, whose redirect URIs
// are only safe with iss (RFC 9207), or by registration. Otherwise it asks for a client ID.
func register(ctx context.Context, a *app.App, attempt *loginAttempt, m *discovery.Metadata, opts loginOptions) error {
	p := &attempt.profile
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	document := cmp.Or(cfg.ClientIDMetadataURL, app.ClientIDMetadataURL())
	if m.ClientIDMetadataDocumentSupported && m.IssParameterSupported && document != "" {
		p.UseMetadataURL(document)
	} else if m.RegistrationEndpoint == "" {
		if err := completeClient(ctx, a, p, opts.Device); err != nil {
			return err
		}
	} else {
		registration, err := session.RegisterClient(ctx, attempt.session.HTTP, m, p.Redirect(), opts.Device)
		if err != nil {
			needs, _ := clientNeeds(*p, opts.Device)
			return cli.WithHint(fmt.Errorf("register fob as a client: %w", err),
				"register one yourself with %s, then add --client-id ID to the same command", needs)
		}
		p.ClientID, attempt.registration = registration.ClientID, registration
		a.Note("Registered fob as a client of %s: %s", sanitize.Line(p.Issuer), sanitize.Line(p.ClientID))
	}
	s, err := a.Session(*p)
	attempt.session = s
	return err
}

// unregisterUnused removes the client that was registered for a failed login. One that the
// server does not remove is used by the next login.
func unregisterUnused(ctx context.Context, attempt *loginAttempt) error {
	if attempt.registration == nil {
		return nil
	}
	err := attempt.registration.Unregister(context.WithoutCancel(ctx), attempt.session.HTTP)
	switch {
	case err == nil && attempt.restore != nil:
		return attempt.restore()
	case err == nil, errors.Is(err, oauth.ErrUnsupported), attempt.restore != nil:
		return nil
	}
	return fmt.Errorf("the client that was registered for it was not removed: %w", err)
}

func oauthClient(ctx context.Context, a *app.App, attempt *loginAttempt, m *discovery.Metadata, opts loginOptions) (*oauth.Client, error) {
	full := attempt.profile.WithProvider()
	c := &oauth.Client{HTTP: attempt.session.HTTP, Metadata: m, ClientID: full.ClientID, IssRequired: full.RequiresIss(), AssertionAudience: full.ClientAssertionAudience, Now: a.Now}
	method := full.TokenEndpointAuthMethod
	var err error
	if attempt.registration != nil {
		c.ClientSecret, method = attempt.registration.ClientSecret, attempt.registration.AuthMethod
	} else if err = readCredentials(ctx, a, attempt.session, full, opts, c); err != nil {
		return nil, err
	}
	if opts.Device && c.ClientSecret.IsZero() && needsSecret(full, false) && !needsSecret(full, true) {
		method = oauth.AuthNone
	}
	if full.DPoP {
		if c.DPoPKey, err = jwt.Generate(); err != nil {
			return nil, err
		}
	}
	err = c.UseAuthMethod(method)
	switch {
	case errors.Is(err, oauth.ErrNoClientKey):
		return nil, cli.WithHint(cli.AsUsage(err), "use --private-key-file or --private-key-stdin")
	case errors.Is(err, oauth.ErrNoClientSecret):
		return nil, cli.WithHint(cli.AsUsage(err), "use --client-secret-stdin or --client-secret-file")
	case err != nil:
		return nil, cli.WithHint(cli.AsUsage(err), "choose one of %s", strings.Join(oauth.AuthMethods(), ", "))
	}
	return c, nil
}

// readCredentials reads the client's secret or key from stdin or a file, from the previous
// login of the same client, or from a prompt if required.
func readCredentials(ctx context.Context, a *app.App, s *session.Session, p config.Profile, opts loginOptions, c *oauth.Client) error {
	kept := s.Credentials(ctx)
	var err error
	switch {
	case p.PrivateKeyFile != "" && !opts.PrivateKeyStdin:
		c.ClientKey, err = s.KeyFile()
		return cli.WithHint(err, "use a private key in PEM or as a JWK that only you can read")
	case opts.PrivateKeyStdin:
		if cli.IsTerminal(a.In) {
			return cli.WithHint(cli.Usagef("--private-key-stdin on a terminal would show the key"), "pipe the key in, or use --private-key-file")
		}
		text, err := cli.ReadSecret(a.In, "stdin")
		if err != nil {
			return err
		}
		c.ClientKey, err = jwt.Parse(text)
		return cli.WithHint(cli.InvalidIn("the private key on stdin", err), "give it in PEM or as a JWK")
	case opts.ClientSecretStdin:
		c.ClientSecret, err = a.SecretOnStdin(ctx, "Client secret:")
		return err
	case opts.ClientSecretFile != "":
		c.ClientSecret, err = cli.ReadSecretFile(opts.ClientSecretFile)
		return cli.WithHint(err, "pass --client-secret-file a file that contains only the secret")
	}
	if c.ClientSecret, c.ClientKey = kept.Secret, kept.Key; !kept.Secret.IsZero() || !kept.Key.IsZero() || !needsSecret(p, opts.Device) {
		return nil
	}
	ask := func() (secret.Secret, error) { return a.AskSecret(ctx, "Client secret:") }
	c.ClientSecret, err = cli.AskUntil(a.IO, ask, func(given secret.Secret) (secret.Secret, error) {
		if given.IsZero() {
			return given, cli.Usagef("nothing was entered")
		}
		return given, nil
	})
	if errors.Is(err, cli.ErrNoTerminal) || cli.IsUsage(err) {
		return cli.WithHint(cli.Usagef("this client requires a secret"), "use --client-secret-stdin or --client-secret-file")
	}
	return err
}

// needsSecret reports whether the client is known to have a secret for the flow.
func needsSecret(p config.Profile, device bool) bool {
	provider, _ := config.FindProvider(p.Provider)
	if device && provider.DevicePublic {
		return false
	}
	switch p.TokenEndpointAuthMethod {
	case oauth.AuthBasic, oauth.AuthPost, oauth.AuthSecretJWT:
		return true
	case "":
		return provider.SecretRequired || p.Grant == config.GrantClientCredentials && p.CertificateFile == ""
	}
	return false
}
