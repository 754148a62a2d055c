package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"rsc.io/qr"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/session"
)

// deviceLogin shows a code that a person enters in a browser on any device (RFC 8628).
// It opens no browser itself: whoever sees the code must know that a login is going
// on (§5.4).
func deviceLogin(ctx context.Context, a *app.App, attempt *loginAttempt, opts loginOptions) (*session.Saved, error) {
	device, err := attempt.client.AuthorizeDevice(ctx, attempt.params)
	if errors.Is(err, oauth.ErrUnsupported) {
		return nil, cli.WithHint(err, "log in with a browser: leave out --device, or give --no-browser instead on a remote machine")
	}
	if err != nil {
		return nil, fmt.Errorf("asking for a code: %w", err)
	}
	showCode(a, device)
	opts.timeout = opts.deviceTimeout(device.ExpiresAt.Sub(a.Now()))
	waiting, stop := context.WithTimeoutCause(ctx, opts.timeout, errBrowserTimeout)
	defer stop()
	stopCountdown := countDown(waiting, a, device.ExpiresAt)
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
	// From here nothing may stop the login: Ctrl-C would throw away what has come.
	return attempt.session.Save(context.WithoutCancel(ctx), attempt.login(response))
}

// deviceTimeout lets the code expire before the default timeout: a server may require an
// interval that is longer.
func (o loginOptions) deviceTimeout(codeLife time.Duration) time.Duration {
	if o.profile.given("timeout") {
		return o.timeout
	}
	return max(o.timeout, codeLife+time.Second)
}

func showCode(a *app.App, device *oauth.DeviceAuthorization) {
	t := a.ErrTerminal()
	a.Note("Open this page in a browser on any device:\n\n  %s\n", device.VerificationURI)
	a.Note("and enter the code\n\n  %s\n", t.Bold(device.UserCode))
	if picture, fits := qrCode(a, device); fits {
		a.Note("%s\nThe picture leads there%s.", picture, map[bool]string{true: " with the code"}[device.VerificationURIComplete != ""])
	}
}

// qrCode draws the address for a phone, where the terminal has room for it.
func qrCode(a *app.App, device *oauth.DeviceAuthorization) (picture cli.Painted, fits bool) {
	code, err := qr.Encode(cmp.Or(device.VerificationURIComplete, device.VerificationURI), qr.L)
	if err != nil || !drawsBlocks(a) {
		return "", false
	}
	columns, rows := cli.SizeOf(a.Err)
	const margin = 2 // modules; scanners want light around the code
	size := code.Size + 2*margin
	if size > columns || size/2+1 > rows {
		return "", false
	}
	dark := func(x, y int) bool { return code.Black(x-margin, y-margin) }
	var b strings.Builder
	for y := 0; y < size; y += 2 {
		for x := range size {
			// Light is drawn, so that it is right on a dark terminal; scanners read both.
			b.WriteString(map[[2]bool]string{
				{false, false}: "█", {false, true}: "▀", {true, false}: "▄", {true, true}: " ",
			}[[2]bool{dark(x, y), dark(x, y+1)}])
		}
		b.WriteByte('\n')
	}
	return cli.Painted(b.String()), true
}

// drawsBlocks reports whether the terminal's characters are Unicode.
func drawsBlocks(a *app.App) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := strings.ToUpper(a.Getenv(name)); locale != "" {
			return strings.Contains(locale, "UTF-8") || strings.Contains(locale, "UTF8")
		}
	}
	return false
}

// countDown shows on a terminal how long the code is still good.
func countDown(ctx context.Context, a *app.App, end time.Time) (stop func()) {
	if !cli.IsTerminal(a.Err) {
		a.Note("Waiting until %s (Ctrl-C to stop).", cli.TimeText(end))
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			left := max(end.Sub(a.Now()), 0).Round(time.Second)
			_ = a.Err.Printf("\r\x1b[KWaiting: the code is good for %s more (Ctrl-C to stop).", left)
			select {
			case <-ctx.Done():
				_ = a.Err.Print("\r\x1b[K")
				return
			case <-tick.C:
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
