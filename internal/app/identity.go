package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/fobcli/fob/internal/ci"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/jwt"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/session"
)

// identityToken exchanges the identity of the machine or CI job for an access token.
// Nothing is cached: a CI system's identities are valid for minutes.
func (a *App) identityToken(ctx context.Context, p config.Profile, want session.TokenOptions) (*session.Token, error) {
	if want.WantIDToken {
		return nil, cli.WithHint(cli.Usagef("profile %q has no id_token: it uses the machine's identity", p.Name), "omit --id-token")
	}
	identity, hc, err := a.JobIdentity(ctx, p, true)
	if err != nil {
		return nil, err
	}
	s, err := a.sessionWithoutStore(p)
	if err != nil {
		return nil, err
	}
	s.HTTP = hc
	token, err := s.IdentityToken(ctx, identity, want)
	return token, refusedIdentity(err, p)
}

// IdentityError is a missing or unusable identity, and the server that it would be for.
type IdentityError struct {
	error
	Server string
}

func (e *IdentityError) Unwrap() error { return e.error }

// ErrNotRun means that the identity command must not be run now.
var ErrNotRun = errors.New("the identity command was not run")

// JobIdentity is the identity for a profile, which may be the zero Profile, and the client
// for its server. An identity that was made for another server is returned with an error,
// and must not be sent.
func (a *App) JobIdentity(ctx context.Context, p config.Profile, mayRun bool) (secret.Secret, *http.Client, error) {
	source, err := ci.ParseSource(p.Identity)
	if err != nil {
		return secret.Secret{}, nil, cli.Usagef("profile %q: identity: %s", p.Name, err) // the error lists the choices
	}
	hc, err := a.HTTPClient(p)
	if err != nil {
		return secret.Secret{}, nil, err
	}
	if source == ci.Command && !mayRun {
		return secret.Secret{}, hc, ErrNotRun
	}
	p = p.WithProvider()
	machine := ci.Machine{Getenv: a.Getenv, HTTP: hc, Stderr: a.Err.Raw()}
	identity, err := machine.IdentityToken(ctx, source, cmp.Or(p.IdentityAudience, p.Authority()), p.IdentityCommand)
	if err == nil && p.Name != "" && p.ShowsJWT() {
		err = CheckAudience(identity, p)
	}
	if err != nil && p.Authority() != "" {
		err = &IdentityError{err, p.Authority()}
	}
	return identity, hc, err
}

// CheckAudience refuses an identity that was not made for the profile's server: a
// configuration can name any variable and any file.
func CheckAudience(identity secret.Secret, p config.Profile) error {
	seen, err := jwt.DecodeJWT(identity)
	if err != nil {
		return fmt.Errorf("%w: not a JWT; nothing was sent", ci.ErrMalformed)
	}
	if !slices.ContainsFunc(AudiencesOf(seen.Claims), func(aud any) bool { return aud != "" && (aud == p.Authority() || aud == p.IdentityAudience) }) {
		return fmt.Errorf("%w: its aud is neither the issuer nor identity_audience of profile %q", ci.ErrAudience, p.Name)
	}
	return nil
}

// AudiencesOf returns a token's audiences: one, or a list (RFC 7519 §4.1.3).
func AudiencesOf(claims map[string]any) []any {
	if one, ok := claims["aud"].(string); ok {
		return []any{one}
	}
	several, _ := claims["aud"].([]any)
	return several
}

// refusedIdentity adds a hint if the server refuses an identity: RFC 8693 §2.2.2 calls that
// an invalid request, RFC 7523 §3.1 an invalid grant.
func refusedIdentity(err error, p config.Profile) error {
	if !oauth.HasCode(err, "invalid_request", "invalid_grant") {
		return err
	}
	return cli.WithHint(err, "compare the issuer, subject and audience that 'fob ci status %s' shows with those that the server trusts", p.Name)
}
