package cmd

import (
	"cmp"
	"context"

	"github.com/fobcli/fob/internal/ci"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/session"
)

// identityToken finds the identity of the machine or CI job and gives it for an access
// token. Nothing is kept: a CI system's identities live for minutes.
func (a *app) identityToken(ctx context.Context, p config.Profile, want session.TokenOptions) (*session.Token, error) {
	if want.WantIDToken {
		return nil, withHint(usagef("profile %q has no id_token: it shows the identity of the machine", p.Name), "leave out --id-token")
	}
	source, err := ci.ParseSource(p.Identity)
	if err != nil {
		return nil, withHint(usagef("profile %q: %s", p.Name, err), "set identity to github, gitlab, env:NAME, file:PATH or command")
	}
	paths, err := a.paths()
	if err != nil {
		return nil, err
	}
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	hc, err := a.httpClient(cfg, p)
	if err != nil {
		return nil, err
	}
	full := p.WithProvider()
	machine := ci.Machine{Getenv: a.getenv, HTTP: hc, Stderr: a.stderr}
	identity, err := machine.IdentityToken(ctx, source, cmp.Or(p.IdentityAudience, full.Authority()), p.IdentityCommand)
	if err != nil {
		return nil, err
	}
	s := &session.Session{Profile: full, Paths: paths, HTTP: hc, Clock: a.clock, Warn: a.warn}
	return s.IdentityToken(ctx, session.Identity{
		Grant: p.Grant, Token: identity, TokenType: p.SubjectTokenType, Audience: p.Audience,
	}, want)
}

// maskInLog tells the CI system which text its log must not show.
func (a *app) maskInLog(token secret.Secret) {
	line, known := ci.MaskCommand(a.getenv, token)
	if !known {
		a.warn("this machine's CI system, if it is one, has no command to mask a token in its log")
		return
	}
	a.note("%s", line)
}
