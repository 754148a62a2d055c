package app

import (
	"context"
	"errors"
	"time"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/session"
)

// ShowsIdentity reports whether nothing is stored for a profile: the machine's identity is
// used each time.
func ShowsIdentity(p config.Profile) bool {
	return p.Grant == config.GrantTokenExchange || p.Grant == config.GrantJWTBearer
}

// Token gets an access token of a profile, and tries once more if its login was moved to
// another storage meanwhile.
func (a *App) Token(ctx context.Context, p config.Profile, want session.TokenOptions) (*session.Token, error) {
	if ShowsIdentity(p) && a.Getenv(Variable("FOB_TOKEN_", p.Name)) == "" {
		return a.identityToken(ctx, p, want)
	}
	cfg, err := a.Config()
	switch name, refreshes := a.TokenVariable(p.Name); {
	case err != nil:
		return nil, err
	case refreshes:
		return a.refreshFromEnv(ctx, p, name, want)
	case name != "":
		return a.TokenFromEnv(p.Name, want)
	case cfg.StoresNothing():
		return nil, errNotInEnviron(p.Name)
	}
	if token, err := a.agentToken(ctx, p, want); token != nil || err != nil {
		return token, err
	}
	for retried := false; ; retried = true {
		s, err := a.Session(p)
		if err != nil {
			return nil, err
		}
		s.Current = func() error { return a.StillIn(s.Store, p.Name) }
		token, err := s.Token(ctx, want)
		switch {
		case errors.Is(err, oauth.ErrUnavailable):
			return nil, cli.WithHint(err, "%s; the login is unchanged", a.Hint(err))
		case retried || !errors.Is(err, session.ErrMoved):
			return token, err
		}
		if p, err = a.Profile([]string{p.Name}); err != nil {
			return nil, err
		}
	}
}

// StillIn returns session.ErrMoved if the configuration names another storage by now.
func (a *App) StillIn(store *credstore.Store, profile string) error {
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	now, err := a.ProfileStore(cfg.Profiles[profile])
	if err == nil && now != store {
		err = session.ErrMoved
	}
	return err
}

// ConfiguredMinTTL is FOB_MIN_TTL, or nil.
func ConfiguredMinTTL(a *App) (*time.Duration, error) {
	env := a.Getenv("FOB_MIN_TTL")
	if env == "" {
		return nil, nil
	}
	ttl, err := time.ParseDuration(env)
	if err != nil {
		return nil, cli.WithHint(cli.Usagef("FOB_MIN_TTL is not a duration: %q", env), "write it like 90s or 10m")
	}
	return &ttl, CheckMinTTL(ttl)
}

// CheckMinTTL refuses a negative time to live.
func CheckMinTTL(ttl time.Duration) error {
	if ttl < 0 {
		return cli.WithHint(cli.Usagef("a token cannot be valid for %s", ttl), "write --min-ttl like 90s or 10m")
	}
	return nil
}
