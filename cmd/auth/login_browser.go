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

// redirectHintAfter is when a waiting login prints likely causes.
const redirectHintAfter = 20 * time.Second

// errBrowserTimeout ends a login if there is no callback within --timeout.
var errBrowserTimeout = errors.New("the login was not finished in the browser")

// browserLogin runs the authorization code flow with a loopback address (RFC 8252) until it
// gets the code from the browser or a pasted URL.
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
	timeout := time.AfterFunc(opts.Timeout, func() { stop(errBrowserTimeout) })
	defer timeout.Stop()
	hint := time.AfterFunc(redirectHintAfter, func() {
		a.Note("Still waiting. If the page complains about the redirect, register this redirect URI with the client, or name the registered one with --redirect-uri:\n  %s", redirect)
	})
	defer hint.Stop()
	restore := showLogin(waiting, a, attempt, login, listener, opts)
	defer restore()

	var saved *session.Saved
	login.Finish = func(ctx context.Context, request *oauth.AuthorizationRequest, code string) error {
		hint.Stop()
		timeout.Stop() // requests have their own timeouts, and questions none
		response, err := attempt.client.Exchange(ctx, request, code)
		if err != nil {
			return err
		}
		finished := attempt.login(response)
		finished.Nonce = request.Nonce
		finished.Switch = func(ctx context.Context, from, to session.Account) error {
			if a.Interactive() && !opts.SwitchAccount {
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
		return nil, cli.WithHint(fmt.Errorf("%w within %s", errBrowserTimeout, opts.Timeout), "try again, with a longer --timeout, or with --no-browser on a remote machine")
	}
	return saved, err
}

// loopbackLogin creates the requests of a login: one whose URL is shown, and if a browser
// is launched, one for its start page. Both are created before anything is shown, so that
// an error ends the login first.
func loopbackLogin(ctx context.Context, a *app.App, attempt *loginAttempt, redirectURI string, opts loginOptions) (*loopback.Login, error) {
	shown, err := authorizationRequest(ctx, a, attempt, redirectURI)
	if err != nil {
		return nil, err
	}
	login := &loopback.Login{Shown: shown, Warn: func(text string) { a.Note("%s", text) }}
	if !opts.NoBrowser && a.Getenv("FOB_NO_BROWSER") == "" && browserOf(a).IsAvailable() {
		login.Launched, err = authorizationRequest(ctx, a, attempt, redirectURI)
	}
	return login, err
}

// authorizationRequest creates the request for the browser. It is pushed to the server if
// supported (RFC 9126). A server that does not accept that from this client, and does not
// require it, gets it from the browser.
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
		// A refused client secret would be refused with the code too.
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

// showLogin opens the browser, or shows the URL and reads the redirect URL that is pasted
// back. restore restores the terminal.
func showLogin(ctx context.Context, a *app.App, attempt *loginAttempt, login *loopback.Login, listener *loopback.Listener, opts loginOptions) (restore func()) {
	undo := func() {}
	paste := func() (lines <-chan string) {
		a.Note("If the browser is on another machine, its last page does not load: paste the address of that page here.")
		lines, undo = cli.ReadPasted(a.In)
		a.Typed = lines
		return lines
	}
	a.Note("Waiting at %s for the browser to come back (%s at most, Ctrl-C to stop).", listener.RedirectURI(), cli.Roughly(opts.Timeout))
	if login.Launched != nil {
		a.Note("Opening the browser. If nothing appears, open this URL:\n\n  %s\n", login.Shown.URL())
		unlaunched := make(chan struct{})
		login.Unlaunched, login.Paste = unlaunched, paste
		go func() {
			if !openBrowser(ctx, a, listener.StartURL()) {
				close(unlaunched)
			}
		}()
		return func() { undo() }
	}
	a.Note("Open this URL in a browser:\n\n  %s\n", login.Shown.URL())
	login.Pasted = paste()
	if attempt.client.Metadata.DeviceAuthorizationEndpoint != "" {
		a.Note("Or press Ctrl-C and run the same command with --device.")
	}
	return undo
}

func browserOf(a *app.App) browser.Launcher {
	return browser.Launcher{Getenv: a.Getenv, Output: a.Err.Raw()}
}

func openBrowser(ctx context.Context, a *app.App, url string) (opened bool) {
	err := browserOf(a).Open(url)
	if err != nil && ctx.Err() == nil {
		a.Note("The browser could not be started (%s): open the URL yourself.", err)
	}
	return err == nil
}
