package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/session"
)

// ReadChallenge reads an API's refusal from a file, or for - from stdin. It returns nil if no
// file is named.
func ReadChallenge(a *App, file string) (*discovery.Challenge, error) {
	from := a.In
	switch file {
	case "":
		return nil, nil
	case "-":
	default:
		f, err := cli.OpenArgument(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		from = f
	}
	challenge, err := discovery.ReadChallenge(from)
	return challenge, cli.WithHint(cli.InvalidIn("--challenge", err), "pass the head of the API's response, as 'curl -sD - -o /dev/null URL' prints it")
}

// ReadDetails reads authorization_details (RFC 9396) from a file, if one is named.
func ReadDetails(file string) (details string, err error) {
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(file)
	if err == nil {
		details, err = oauth.ParseDetails(text)
	}
	return details, cli.WithHint(cli.InvalidIn("--authorization-details", err), `write it like [{"type":"payment_initiation"}]`)
}

// FollowAPI asks the API that the tokens are for which servers it trusts (RFC 9728). A
// profile without a server gets the first one. So does one whose server is no longer
// trusted, as a new client: what one server issued is never sent to another. The result is
// nil without an API that describes itself, or has the challenge only.
func FollowAPI(ctx context.Context, a *App, p *config.Profile, challenge *discovery.Challenge, given func(flag string) bool) (*discovery.ProtectedResource, error) {
	full := p.WithProvider()
	isNew := full.Issuer == "" && full.TokenEndpoint == ""
	var unknown *discovery.ProtectedResource
	if challenge != nil {
		unknown = &discovery.ProtectedResource{Challenge: challenge}
	}
	if len(p.Resources) == 0 || !isNew && (full.Issuer == "" || p.Grant != "") {
		return unknown, nil
	}
	hc, err := a.HTTPClient(*p)
	if err != nil {
		return nil, err
	}
	shown := sanitize.Line(p.Resources[0])
	api, err := discovery.FindResource(ctx, hc, p.Resources[0], challenge)
	switch {
	case err != nil && isNew:
		return nil, cli.WithHint(fmt.Errorf("discover the authorization server of %s: %w", shown, err),
			"name the server: fob login %s --issuer URL --resource %s", p.Name, shown)
	case isNew:
		p.Issuer = api.AuthorizationServers[0]
	case err != nil, !api.Trusts(full.Issuer) && given("issuer"):
		return unknown, nil //nolint:nilerr // an API need not say anything
	case api.Trusts(full.Issuer):
	case !ownsClient(ctx, a, *p):
		a.Note("%s no longer lists %s. To log in at its new server: fob login %s --issuer %s --client-id ID",
			shown, sanitize.Line(full.Issuer), p.Name, sanitize.Line(api.AuthorizationServers[0]))
		return unknown, nil
	default:
		p.MoveTo(api.AuthorizationServers[0])
		if !given("scope") {
			p.Scopes = nil
		}
	}
	if p.Issuer != full.Issuer {
		a.Note("%s uses the authorization server %s.", shown, sanitize.Line(p.Issuer))
		if others := len(api.AuthorizationServers) - 1; others > 0 {
			a.Note("It names %d more; to choose another, use --issuer.", others)
		}
	}
	p.Resources[0] = api.Resource
	return api, nil
}

func ownsClient(ctx context.Context, a *App, p config.Profile) bool {
	s, err := a.LocalSession(p)
	return err == nil && s.OwnsClient(ctx)
}

// TokenFor returns a token that satisfies an API's challenge, if there is one, or
// session.ErrLoginRequired with the login that would get one.
func TokenFor(ctx context.Context, a *App, p config.Profile, want session.TokenOptions, challenge *discovery.Challenge) (*session.Token, error) {
	if challenge == nil {
		return a.Token(ctx, p, want)
	}
	stepUp := func(format string, args ...any) error {
		err := fmt.Errorf("%s%.0w", sanitize.Line(fmt.Sprintf(format, args...)), session.ErrLoginRequired)
		return cli.WithHint(err, "pass the same response to 'fob login %s --challenge -'", p.Name)
	}
	if server := movedTo(ctx, a, p, challenge); server != "" {
		return nil, stepUp("the API of profile %q trusts %s now", p.Name, server)
	}
	if challenge.ACRValues != "" || challenge.MaxAge >= 0 {
		s, err := a.LocalSession(p)
		if err != nil {
			return nil, err
		}
		status := s.Status(ctx)
		// A login takes a while, so that a shorter age could never be reached.
		if challenge.MaxAge >= 0 && a.Now().Sub(status.AuthTime) > max(challenge.MaxAge, time.Minute) {
			return nil, stepUp("the API requires a login within the last %s", cli.Roughly(challenge.MaxAge))
		}
		if wanted := strings.Fields(challenge.ACRValues); len(wanted) > 0 && len(Subtract(wanted, strings.Fields(status.ACRValues))) == len(wanted) {
			return nil, stepUp("the API requires a login with the authentication %s", challenge.ACRValues)
		}
	}
	want.ForceRefresh = want.ForceRefresh || challenge.Error == "invalid_token"
	token, err := a.Token(ctx, p, want)
	if err != nil {
		return nil, err
	}
	if missing := Subtract(challenge.Scopes, strings.Fields(token.Scope)); len(missing) > 0 {
		return nil, stepUp("the login of profile %q was not granted %s", p.Name, strings.Join(missing, " "))
	}
	return token, nil
}

// movedTo returns the server that an API trusts, if that is not the profile's any more and
// a login would follow.
func movedTo(ctx context.Context, a *App, p config.Profile, challenge *discovery.Challenge) string {
	if challenge.ResourceMetadata == "" || len(p.Resources) == 0 || p.Grant != "" || !ownsClient(ctx, a, p) {
		return ""
	}
	hc, err := a.HTTPClient(p)
	if err != nil {
		return ""
	}
	api, err := discovery.FindResource(ctx, hc, p.Resources[0], challenge)
	if err != nil || api.Trusts(p.WithProvider().Issuer) {
		return ""
	}
	return api.AuthorizationServers[0]
}

// assertVia returns session.Session.Assert for a profile whose tokens another profile's
// login gets.
func assertVia(a *App, via string) func(context.Context, string, oauth.Target) (secret.Secret, error) {
	return func(ctx context.Context, issuer string, want oauth.Target) (secret.Secret, error) {
		p, err := a.Profile([]string{via})
		if err == nil && p.Grant != "" {
			err = cli.WithHint(cli.Usagef("the grant of profile %q is %s, so it has no id_token", via, p.Grant), "name a profile that a user logs in to: --via NAME")
		}
		if err != nil {
			return secret.Secret{}, err
		}
		token, err := a.Token(ctx, p, session.TokenOptions{WantIDToken: true})
		if errors.Is(err, session.ErrLoginRequired) {
			return secret.Secret{}, cli.WithHint(err, "run 'fob login %s'", via)
		} else if err != nil {
			return secret.Secret{}, err
		}
		s, err := a.Session(p)
		if err != nil {
			return secret.Secret{}, err
		}
		want.Audience, want.Details = issuer, ""
		return s.IDJAG(ctx, token.IDToken, want)
	}
}
