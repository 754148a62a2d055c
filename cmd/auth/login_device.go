package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/session"
)

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
	opts.timeout = opts.deviceTimeout(device.ExpiresAt.Sub(a.Now()))
	waiting, stop := context.WithTimeoutCause(ctx, opts.timeout, errBrowserTimeout)
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
		return nil, cli.WithHint(fmt.Errorf("%w within %s", errBrowserTimeout, opts.timeout), "try again, with a longer --timeout")
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
	if o.profile.given("timeout") {
		return o.timeout
	}
	return max(o.timeout, codeLife+time.Second)
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
