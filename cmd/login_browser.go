package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/pkg/browser"

	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/session"
)

// redirectHintAfter is when a waiting login says what may be wrong.
const redirectHintAfter = 20 * time.Second

// errNobodyCame ends a login whose --timeout has passed.
var errNobodyCame = errors.New("nobody finished the login in the browser")

// browserLogin runs the authorization code flow on a loopback address
// (RFC 8252) until the browser, or a pasted URL, brings the code.
func (a *app) browserLogin(ctx context.Context, attempt *loginAttempt, opts loginOptions) (*session.Saved, error) {
	full := attempt.profile.WithProvider()
	loopback, err := oauth.ListenLoopback(full.RedirectURI)
	if err != nil {
		return nil, err
	}
	defer func() { _ = loopback.Close() }()
	request := attempt.client.NewAuthorizationRequest(loopback.RedirectURI(), attempt.scopes, attempt.params)
	if err := oauth.CheckURL(request.URL()); err != nil {
		return nil, fmt.Errorf("the authorization endpoint: %w", err)
	}

	waiting, stop := context.WithTimeoutCause(ctx, opts.timeout, errNobodyCame)
	defer stop()
	hint := time.AfterFunc(redirectHintAfter, func() {
		a.note("Still waiting. If the page complains about the redirect, register this redirect URI with the client:\n  %s", cmp.Or(full.RedirectURI, oauth.DefaultRedirectURI))
	})
	defer hint.Stop()
	pasted, restore := a.showLogin(waiting, request, loopback, opts)
	defer restore()

	var saved *session.Saved
	complain := func(err error) { a.note("That is not the address that this login ends on: %s.", err) }
	err = loopback.Serve(waiting, request, pasted, complain, func(ctx context.Context, code string) error {
		response, err := attempt.client.Exchange(ctx, request, code)
		if err != nil {
			return err
		}
		saved, err = attempt.session.Save(ctx, session.Login{Client: attempt.client, Response: response, Scopes: attempt.scopes, Nonce: request.Nonce})
		return err
	})
	if err != nil && errors.Is(context.Cause(waiting), errNobodyCame) {
		return nil, withHint(fmt.Errorf("%w within %s", errNobodyCame, opts.timeout), "try again, with a longer --timeout, or with --no-browser on a remote machine")
	}
	return saved, err
}

// showLogin opens the browser, or shows the URL and takes the redirect URL that
// is pasted back. restore puts the terminal back as it was.
func (a *app) showLogin(ctx context.Context, request *oauth.AuthorizationRequest, loopback *oauth.Loopback, opts loginOptions) (pasted <-chan string, restore func()) {
	a.note("Waiting at %s for the browser to come back (%s at most, Ctrl-C to stop).", loopback.RedirectURI(), opts.timeout)
	if !opts.noBrowser && a.getenv("FOB_NO_BROWSER") == "" && a.hasBrowser() {
		a.note("Opening the browser. If nothing appears, open this URL:\n\n  %s\n", request.URL())
		go a.openBrowser(ctx, request.URL())
		return nil, func() {}
	}
	a.note("Open this URL in a browser:\n\n  %s\n", request.URL())
	a.note("On another machine the last page does not load: paste its address here.")
	return readPasted(a.stdin)
}

// hasBrowser reports whether a browser could appear before the user's eyes.
func (a *app) hasBrowser() bool {
	if a.getenv("BROWSER") != "" {
		return true
	}
	if a.getenv("SSH_CONNECTION") != "" {
		return false
	}
	if runtime.GOOS == "linux" {
		return a.getenv("DISPLAY") != "" || a.getenv("WAYLAND_DISPLAY") != ""
	}
	return true
}

// openBrowser starts $BROWSER, or what the system opens URLs with. Whatever
// the launcher prints goes to stderr.
func (a *app) openBrowser(ctx context.Context, url string) {
	err := a.launch(url)
	if err != nil && ctx.Err() == nil {
		a.note("The browser could not be started (%s): open the URL yourself.", err)
	}
}

func (a *app) launch(url string) error {
	command := a.getenv("BROWSER")
	if command == "" {
		browser.Stdout, browser.Stderr = os.Stderr, os.Stderr
		return browser.OpenURL(url)
	}
	argv := []string{command}
	if _, err := exec.LookPath(command); err != nil {
		argv = strings.Fields(command)
	}
	// Without a context: the browser may outlive fob.
	launcher := exec.Command(argv[0], append(argv[1:], url)...) //nolint:noctx // see above
	launcher.Stdout, launcher.Stderr = a.stderr, a.stderr
	return launcher.Run()
}
