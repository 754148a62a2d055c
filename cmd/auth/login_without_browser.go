package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/session"
)

// clientLogin is a login without a user, which gets a first token.
func clientLogin(ctx context.Context, attempt *loginAttempt) (*session.Saved, error) {
	response, err := attempt.session.Mint(ctx, attempt.client, attempt.profile.Grant, attempt.params.Target())
	if err != nil {
		return nil, fmt.Errorf("get a first token: %w", err)
	}
	return attempt.session.Save(ctx, attempt.login(response))
}

func tokenLogin(ctx context.Context, a *app.App, attempt *loginAttempt) (*session.Saved, error) {
	text, err := a.SecretOnStdin(ctx, "Token, or the JSON of a token response in one line:")
	if err != nil {
		return nil, cli.WithHint(err, "pipe in one access token, or the JSON of a token response")
	}
	given, err := attempt.client.GivenToken(text)
	if err == nil && given.RefreshToken.IsZero() {
		_, err = given.AccessToken()
	}
	if err != nil {
		return nil, cli.WithHint(cli.Usagef("the token on stdin: %s", err), "pass one access token, or the JSON of a token response")
	}
	brought := given.RefreshToken.IsZero()
	if brought && !attempt.client.DPoPKey.IsZero() {
		return nil, cli.WithHint(cli.Usagef("--dpop cannot bind an access token from stdin to a key"), "leave out --dpop, or pass the refresh token too")
	}
	if given, err = session.TryGiven(ctx, attempt.client, given); err != nil {
		return nil, err
	}
	login := attempt.login(given)
	login.Brought = brought
	return attempt.session.Save(ctx, login)
}

// keepIdentityProfile saves a profile after its server was found.
func keepIdentityProfile(ctx context.Context, a *app.App, p config.Profile) error {
	hc, err := a.HTTPClient(p)
	if err != nil {
		return err
	}
	if _, err := session.ServerMetadata(ctx, hc, p.WithProvider()); err != nil {
		return cli.ForProfile(noMetadataHint(err), p.Name)
	}
	if err := a.SaveProfile(p); err != nil {
		return err
	}
	a.Note("Profile %s is ready. It stores nothing: 'fob token %s' authenticates as the machine or job that it runs in.", p.Name, p.Name)
	return nil
}

// deviceLogin shows a code that the user enters in a browser on any device (RFC 8628). It
// does not open the browser: users who see the code must know that a login is in progress
// (§5.4).
func deviceLogin(ctx context.Context, a *app.App, attempt *loginAttempt, opts loginOptions) (*session.Saved, error) {
	device, err := attempt.client.AuthorizeDevice(ctx, attempt.params)
	if errors.Is(err, oauth.ErrUnsupported) {
		return nil, cli.WithHint(err, "log in with a browser: leave out --device, or use --no-browser on a remote machine")
	}
	if err != nil {
		return nil, fmt.Errorf("request a device code: %w", err)
	}
	showCode(a, device)
	opts.Timeout = opts.deviceTimeout(device.ExpiresAt.Sub(a.Now()))
	waiting, stop := context.WithTimeoutCause(ctx, opts.Timeout, errBrowserTimeout)
	defer stop()
	stopCountdown := func() {}
	if cli.IsTerminal(a.Err) {
		stopCountdown = a.CountDown(waiting, "Waiting: the code expires in %s (Ctrl-C to stop).", device.ExpiresAt)
	} else {
		a.Note("Waiting until %s (Ctrl-C to stop).", cli.TimeText(device.ExpiresAt))
	}
	response, err := attempt.client.DeviceToken(waiting, device)
	stopCountdown()
	switch {
	case errors.Is(err, errBrowserTimeout):
		return nil, cli.WithHint(fmt.Errorf("%w within %s", errBrowserTimeout, opts.Timeout), "try again, with a longer --timeout")
	case errors.Is(err, oauth.ErrDeviceExpired):
		return nil, cli.WithHint(err, "run the same command again for a new one")
	case err != nil:
		return nil, err
	}
	// From here on Ctrl-C must not interrupt the login: the tokens would be lost.
	return attempt.session.Save(context.WithoutCancel(ctx), attempt.login(response))
}

// deviceTimeout is not shorter than the code's lifetime: a server may require a long
// polling interval.
func (o loginOptions) deviceTimeout(codeLife time.Duration) time.Duration {
	if o.Profile.given("timeout") {
		return o.Timeout
	}
	return max(o.Timeout, codeLife+time.Second)
}

func showCode(a *app.App, device *oauth.DeviceAuthorization) {
	// The URL and the code come last: on a small terminal the QR code would scroll them
	// away.
	if picture, fits := a.QRCode(cmp.Or(device.VerificationURIComplete, device.VerificationURI)); fits {
		a.Note("%s\nScan the QR code%s, or:", picture, map[bool]string{true: ", which includes the user code"}[device.VerificationURIComplete != ""])
	}
	a.Note("Open this page in a browser on any device:\n\n  %s\n", device.VerificationURI)
	a.Note("and enter the code\n\n  %s\n", a.ErrTerminal().Bold(device.UserCode))
}
