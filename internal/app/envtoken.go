package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/session"
)

// The environment supplies credentials to machines that store none. It is read, and never written.
//
//	FOB_TOKEN_<PROFILE>          an access token for that profile
//	FOB_TOKEN                    one where no profile is named
//	FOB_REFRESH_TOKEN_<PROFILE>  a refresh token for that profile, which must be configured
//	FOB_SECRET_<NAME>            a secret that another party has issued
//
// PROFILE and NAME are the names in capitals, with _ for - and /.

// FromEnv is the storage that is shown for credentials from the environment.
const FromEnv = "env"

// Variable is the variable of the environment for a profile.
func Variable(prefix, profile string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(profile, "-", "_"))
}

// TokenVariable is the variable that overrides a profile's login, if one is set.
func (a *App) TokenVariable(profile string) (name string, refreshes bool) {
	if name = Variable("FOB_TOKEN_", profile); a.Getenv(name) != "" {
		return name, false
	}
	if name = Variable("FOB_REFRESH_TOKEN_", profile); a.Getenv(name) != "" {
		return name, true
	}
	return "", false
}

// TokenFromEnv is the access token in the environment for the named profile, which need not
// be configured, or nil.
func (a *App) TokenFromEnv(named string, opts session.TokenOptions) (*session.Token, error) {
	name := "FOB_TOKEN"
	if named != "" {
		name = Variable("FOB_TOKEN_", named)
	}
	value := a.Getenv(name)
	if value == "" {
		return nil, nil
	}
	switch {
	case opts.ForceRefresh:
		return nil, cli.WithHint(cli.Usagef("the access token in %s cannot be refreshed", name), "set %s to a new one", name)
	case opts.WantIDToken || opts.Target != session.Target{}:
		return nil, cli.WithHint(cli.Usagef("%s is one access token, which cannot be exchanged for another", name), "unset %s to use the login", name)
	}
	response, err := (&oauth.Client{Now: a.Now}).GivenToken(secret.New(value))
	if err != nil || strings.Contains(value, "{") {
		err = cmp.Or(err, errors.New("it is JSON"))
		return nil, cli.WithHint(cli.Usagef("%s is not an access token: %s", name, err), "set it to exactly one token")
	}
	access, err := response.AccessToken()
	if err != nil {
		return nil, err
	}
	return &session.Token{Value: access.Value, Type: access.Type}, nil
}

// refreshFromEnv gets an access token with the refresh token of a variable.
func (a *App) refreshFromEnv(ctx context.Context, p config.Profile, name string, want session.TokenOptions) (*session.Token, error) {
	s, err := a.sessionWithoutStore(p)
	if err == nil {
		s.HTTP, err = a.HTTPClient(p)
	}
	if err != nil {
		return nil, err
	}
	token, err := s.EnvToken(ctx, name, secret.New(a.Getenv(name)), want)
	if errors.Is(err, session.ErrLoginRequired) {
		err = cli.WithHint(err, "set %s to the refresh token of a new login", name)
	}
	return token, err
}

func errNotInEnviron(profile string) error {
	return cli.WithHint(fmt.Errorf("no token in the environment for profile %q%.0w", profile, session.ErrLoginRequired),
		"set %s or %s", Variable("FOB_TOKEN_", profile), Variable("FOB_REFRESH_TOKEN_", profile))
}
