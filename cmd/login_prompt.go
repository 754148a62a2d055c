package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/session"
)

// loginProfile is the profile to log in with: the stored one, or a new one by
// its preset, with the flags laid over it and what is missing asked for.
func (a *app) loginProfile(ctx context.Context, opts loginOptions) (config.Profile, error) {
	p, err := a.startProfile(opts)
	if err != nil {
		return p, err
	}
	if err := opts.profile.apply(&p); err != nil {
		return p, err
	}
	if err := a.completeServer(ctx, &p); err != nil {
		return p, err
	}
	return p, a.completeClient(ctx, &p)
}

// startProfile finds or makes the profile that the call names.
func (a *app) startProfile(opts loginOptions) (config.Profile, error) {
	cfg, err := a.config()
	if err != nil {
		return config.Profile{}, err
	}
	name := cmp.Or(first(opts.args), a.getenv("FOB_PROFILE"), opts.profile.provider)
	if name == "" {
		return a.profile(nil)
	}
	if err := config.ValidName(name); err != nil {
		return config.Profile{}, &usageError{err.Error()}
	}
	if p, ok := cfg.Profiles[name]; ok {
		return p, nil
	}
	p := config.Profile{Name: name}
	given := opts.profile
	if _, ok := config.FindProvider(name); ok && given.provider == "" && given.issuer == "" && given.tokenEndpoint == "" {
		p.Provider = name
	}
	return p, nil
}

// completeServer asks for what makes the issuer known.
func (a *app) completeServer(ctx context.Context, p *config.Profile) error {
	full := p.WithProvider()
	template := full.Issuer
	switch {
	case full.AuthorizationEndpoint != "" && full.TokenEndpoint != "":
		return nil
	case template == "":
		issuer, err := a.ask(ctx, "Issuer URL of the server:")
		if err != nil || issuer == "" {
			return withHint(usagef("no server is known for profile %q", p.Name),
				"fob login %s --issuer URL --client-id ID, or a preset: fob login github", p.Name)
		}
		p.Issuer = issuer
	case strings.Contains(template, "{"):
		filled, err := a.fillTemplate(ctx, template)
		if err != nil {
			return withHint(usagef("the preset needs your own server's address"), "fob login %s --issuer %s", p.Name, template)
		}
		p.Issuer = filled
	}
	if err := oauth.CheckURL(p.WithProvider().Issuer); err != nil {
		return withHint(usagef("the issuer: %s", err), "give an https URL; http is for loopback addresses alone")
	}
	return nil
}

// fillTemplate asks for each {placeholder} of a preset's issuer.
func (a *app) fillTemplate(ctx context.Context, template string) (string, error) {
	for filled := template; ; {
		before, rest, found := strings.Cut(filled, "{")
		placeholder, after, closed := strings.Cut(rest, "}")
		if !found || !closed {
			return filled, nil
		}
		value, err := a.ask(ctx, fmt.Sprintf("The %s in %s:", placeholder, template))
		if err != nil {
			return "", err
		}
		filled = before + value + after
	}
}

// completeClient asks for the client ID, and says where to get one.
func (a *app) completeClient(ctx context.Context, p *config.Profile) error {
	if p.ClientID != "" {
		return nil
	}
	full := p.WithProvider()
	provider, _ := config.FindProvider(p.Provider)
	redirect := cmp.Or(full.RedirectURI, oauth.DefaultRedirectURI)
	if a.interactive() {
		if provider.RegisterAt != "" {
			a.note("%s knows an application by its client ID. Register one at\n  %s", provider.Title, provider.RegisterAt)
		}
		a.note("with the redirect URI\n  %s", redirect)
		if provider.Note != "" {
			a.note("%s", provider.Note)
		}
		id, err := a.ask(ctx, "Client ID:")
		if err != nil {
			return err
		}
		p.ClientID = id
	}
	if p.ClientID == "" {
		where := cmp.Or(provider.RegisterAt, "your server")
		return withHint(usagef("profile %q has no client ID", p.Name),
			"register an application at %s with the redirect URI %s, then: fob login %s --client-id ID", where, redirect, p.Name)
	}
	return nil
}

// clientSecret comes from stdin or a file, from the login before of the same
// client, or from a prompt where the preset says that one is needed.
func (a *app) clientSecret(ctx context.Context, s *session.Session, p config.Profile, opts loginOptions) (secret.Secret, error) {
	switch {
	case opts.clientSecretStdin:
		return readSecret(a.stdin, "stdin")
	case opts.clientSecretFile != "":
		return readSecretFile(opts.clientSecretFile)
	}
	if kept := s.ClientSecret(ctx); !kept.IsZero() {
		return kept, nil
	}
	provider, _ := config.FindProvider(p.Provider)
	if !provider.SecretRequired && (p.TokenEndpointAuthMethod == "" || p.TokenEndpointAuthMethod == "none") {
		return secret.Secret{}, nil
	}
	given, err := a.askSecret(ctx, "Client secret:")
	if errors.Is(err, errNoTerminal) || err == nil && given.IsZero() {
		return given, withHint(usagef("this client needs its secret"), "give --client-secret-stdin or --client-secret-file")
	}
	return given, err
}

// probeSize is enough to see whether the storage keeps anything at all.
const probeSize = 8

// chooseStorage settles where the login will lie, and tries it, before the
// browser opens. Where there is no keyring, a person may choose the encrypted
// file; a script is told how to. The choice is pinned in the profile.
func (a *app) chooseStorage(ctx context.Context, p *config.Profile, byFlag bool) (*session.Session, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	if p.Storage, err = a.storageName(cfg, *p); err != nil {
		return nil, err
	}
	if p.Storage == storageEnv {
		return nil, withHint(usagef("the storage 'env' is read and never written"), "give --storage keyring or --storage file, or unset FOB_STORAGE")
	}
	s, err := a.session(*p)
	if err != nil {
		return nil, err
	}
	err = s.Store.Probe(ctx, probeSize)
	if !errors.Is(err, credstore.ErrAbsent) || byFlag || !a.interactive() {
		return s, err
	}
	if err := a.askStorage(ctx, err); err != nil {
		return nil, err
	}
	p.Storage = storageFile
	if s, err = a.session(*p); err != nil {
		return nil, err
	}
	return s, s.Store.Probe(ctx, probeSize)
}

// askStorage asks what to do without a keyring. It returns nil for the
// encrypted file, and why otherwise.
func (a *app) askStorage(ctx context.Context, why error) error {
	a.note("%s.", why)
	a.note("The login can be kept in an encrypted file instead, opened by")
	a.note("  1  a passphrase, asked for when a token is needed")
	a.note("  2  a key file that you keep outside fob's folders")
	a.note("  q  quit")
	answer, err := a.ask(ctx, "Which one?")
	if err != nil {
		return err
	}
	switch answer {
	case "1":
		return nil
	case "2":
		return a.askKeyFile(ctx)
	}
	return why
}

// askKeyFile makes the configuration name a key file, and the file if need be.
func (a *app) askKeyFile(ctx context.Context) error {
	path, err := a.ask(ctx, "Path of the key file (made if it is not there):")
	if err != nil {
		return err
	}
	paths, err := a.paths()
	if err != nil {
		return err
	}
	if err := credstore.MakeKeyFile(path, paths.Data); err != nil {
		return err
	}
	return config.SetKeyFile(paths.Config, path)
}
