package auth

import (
	"context"
	"fmt"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
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
