package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/browser"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/loopback"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/session"
)

// redirectHintAfter is when a waiting login says what may be wrong.
const redirectHintAfter = 20 * time.Second

// errBrowserTimeout ends a login if the browser does not come before --timeout has passed.
var errBrowserTimeout = errors.New("the login was not finished in the browser")

// browserLogin runs the authorization code flow on a loopback address
// (RFC 8252) until the browser, or a pasted URL, brings the code.
func browserLogin(ctx context.Context, a *app.App, attempt *loginAttempt, opts loginOptions) (*session.Saved, error) {
	redirect := attempt.profile.Redirect()
	listener, err := loopback.Listen(redirect)
	if err != nil {
		return nil, err
	}
	defer func() { _ = listener.Close() }()
	login, err := loopbackLogin(ctx, a, attempt, listener.RedirectURI(), opts)
	if err != nil {
		return nil, err
	}

	waiting, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	timeout := time.AfterFunc(opts.timeout, func() { stop(errBrowserTimeout) })
	defer timeout.Stop()
	hint := time.AfterFunc(redirectHintAfter, func() {
		a.Note("Still waiting. If the page complains about the redirect, register this redirect URI with the client:\n  %s", redirect)
	})
	defer hint.Stop()
	restore := showLogin(waiting, a, attempt, login, listener, opts)
	defer restore()

	var saved *session.Saved
	login.Finish = func(ctx context.Context, request *oauth.AuthorizationRequest, code string) error {
		hint.Stop()
		timeout.Stop() // requests have limits of their own, and a question none
		response, err := attempt.client.Exchange(ctx, request, code)
		if err != nil {
			return err
		}
		finished := attempt.login(response)
		finished.Nonce = request.Nonce
		finished.Switch = func(ctx context.Context, from, to session.Account) error {
			if a.Interactive() && !opts.switchAccount {
				restore()
				listener.ShowQuestion()
			}
			return attempt.switchAccount(ctx, from, to)
		}
		saved, err = attempt.session.Save(ctx, finished)
		return err
	}
	err = listener.Serve(waiting, *login)
	if err != nil && errors.Is(context.Cause(waiting), errBrowserTimeout) {
		return nil, cli.WithHint(fmt.Errorf("%w within %s", errBrowserTimeout, opts.timeout), "try again, with a longer --timeout, or with --no-browser on a remote machine")
	}
	return saved, err
}

// loopbackLogin makes the requests of a login: one whose URL is shown, and where a
// browser is launched one that only its start page leads to. Both are made before
// anything is shown, so that a refusal ends the login here.
func loopbackLogin(ctx context.Context, a *app.App, attempt *loginAttempt, redirectURI string, opts loginOptions) (*loopback.Login, error) {
	shown, err := authorizationRequest(ctx, a, attempt, redirectURI)
	if err != nil {
		return nil, err
	}
	login := &loopback.Login{Shown: shown, Warn: func(text string) { a.Note("%s", text) }}
	if !opts.noBrowser && a.Getenv("FOB_NO_BROWSER") == "" && browserOf(a).IsAvailable() {
		login.Launched, err = authorizationRequest(ctx, a, attempt, redirectURI)
	}
	return login, err
}

// authorizationRequest is what the browser opens. It is handed to the server directly
// where that is offered (RFC 9126). A server that does not take it from this client,
// and does not insist, gets it from the browser.
func authorizationRequest(ctx context.Context, a *app.App, attempt *loginAttempt, redirectURI string) (*oauth.AuthorizationRequest, error) {
	metadata := attempt.client.Metadata
	if metadata.AuthorizationEndpoint == "" {
		return nil, cli.WithHint(fmt.Errorf("%w: it has no authorization endpoint", oauth.ErrUnsupported), "add --device to the same command")
	}
	request, err := attempt.client.NewAuthorizationRequest(redirectURI, attempt.params)
	if err != nil {
		return nil, err
	}
	if metadata.PushedAuthorizationEndpoint != "" && !attempt.unpushed {
		err := attempt.client.Push(ctx, request)
		// A client that shows something is refused for that: the code would be too.
		public := attempt.client.AuthMethod == oauth.AuthNone
		if oauth.RefusesClient(err) && (public || oauth.HasCode(err, "unauthorized_client")) && !metadata.PushedAuthorizationRequired {
			attempt.unpushed = true
			a.Note("The server does not accept pushed requests from this client; sending the request through the browser.")
		} else if err != nil {
			return nil, err
		}
	}
	if err := oauth.CheckURL(request.URL()); err != nil {
		return nil, fmt.Errorf("the authorization endpoint: %w", err)
	}
	return request, nil
}

// showLogin opens the browser, or shows the URL and takes the redirect URL that
// is pasted back. restore puts the terminal back as it was.
func showLogin(ctx context.Context, a *app.App, attempt *loginAttempt, login *loopback.Login, listener *loopback.Listener, opts loginOptions) (restore func()) {
	a.Note("Waiting at %s for the browser to come back (%s at most, Ctrl-C to stop).", listener.RedirectURI(), opts.timeout)
	if login.Launched != nil {
		a.Note("Opening the browser. If nothing appears, open this URL:\n\n  %s\n", login.Shown.URL())
		go openBrowser(ctx, a, listener.StartURL())
		return func() {}
	}
	a.Note("Open this URL in a browser:\n\n  %s\n", login.Shown.URL())
	a.Note("On another machine the last page does not load: paste its address here.")
	if attempt.client.Metadata.DeviceAuthorizationEndpoint != "" {
		a.Note("Or press Ctrl-C and run the same command with --device.")
	}
	login.Pasted, restore = cli.ReadPasted(a.In)
	a.Typed = login.Pasted
	return restore
}

func browserOf(a *app.App) browser.Launcher {
	return browser.Launcher{Getenv: a.Getenv, Output: a.Err.Raw()}
}

func openBrowser(ctx context.Context, a *app.App, url string) {
	if err := browserOf(a).Open(url); err != nil && ctx.Err() == nil {
		a.Note("The browser could not be started (%s): open the URL yourself.", err)
	}
}
