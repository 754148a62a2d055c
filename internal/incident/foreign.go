package incident

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/secretstore"
	"github.com/fobcli/fob/internal/session"
	"github.com/fobcli/fob/internal/vendortoken"
)

// foreign is a leaked value that is not a key of the registry.
type foreign struct {
	a      *app.App
	opts   Options
	value  secret.Secret
	found  bool
	failed cli.Failures
	unread cli.Failures // what the value could not be compared with
}

// notAKey handles a value that is a stored secret, a token of a login, or of a known service.
// cause is why it is not taken for a key; it is returned if nothing else is known.
func notAKey(ctx context.Context, a *app.App, opts Options, value secret.Secret, cause error) error {
	refused, isRefused := errors.AsType[*apikey.RefusedError](cause)
	if _, err := apikey.Parse(value.Reveal()); value.IsZero() || ctx.Err() != nil || err == nil && !isRefused {
		return cause // a registry that was not reached may have the key
	}
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	f := &foreign{a: a, opts: opts, value: value}
	for _, name := range cfg.SecretNames() {
		f.compareSecret(ctx, cfg.Secrets[name])
	}
	for _, name := range cfg.Names() {
		f.compareLogin(ctx, cfg.Profiles[name])
	}
	if f.found {
		return f.failed.Err()
	}
	if t, known := vendortoken.Identify(value.Reveal()); known {
		cause = cli.WithHint(fmt.Errorf("nothing was revoked: not a key of fob, but it looks like a %s", t.Kind), "revoke it at %s", t.RevokeAt)
	} else if isRefused && refused.Reason == apikey.Unknown {
		cause = cli.WithHint(cause, "check that FOB_REGISTRY names the registry that has it; if another service issued it, revoke it there")
	}
	return append(cli.Failures{cause}, f.unread...)
}

func (f *foreign) compareSecret(ctx context.Context, settings config.Secret) {
	stored, err := f.a.SealedSecret(settings)
	var held secretstore.Held
	if err == nil {
		held, err = stored.Get(ctx)
	}
	switch {
	case held.Is(f.value) || secret.New(f.a.Getenv(config.SecretVariable(settings.Name))) == f.value:
		f.found = true
		f.failed = append(f.failed, cli.WithHint(fmt.Errorf("nothing was revoked: it is the secret %q", settings.Name), "replace it and revoke the leaked value: 'fob secret rotate %s'", settings.Name))
	case err != nil && !errors.Is(err, secretstore.ErrNoValue):
		f.unread = append(f.unread, secretstore.ForSecret(fmt.Errorf("not compared with a secret: %w", err), settings.Name))
	}
}

func (f *foreign) compareLogin(ctx context.Context, p config.Profile) {
	if name, _ := f.a.TokenVariable(p.Name); name != "" && secret.New(f.a.Getenv(name)) == f.value {
		f.found = true
		f.failed = append(f.failed, cli.WithHint(fmt.Errorf("nothing was revoked: it is the token in %s", name), "revoke it at %s, then set %s to a new one", sanitize.Line(p.WithProvider().Authority()), name))
	}
	var token string
	s, err := f.a.LocalSession(p)
	if err == nil {
		token, err = s.Holds(ctx, f.value)
	}
	switch {
	case token != "":
		f.found = true
		f.revoke(ctx, p, token)
	case err != nil && !errors.Is(err, session.ErrLoginRequired) && !app.ShowsIdentity(p):
		f.unread = append(f.unread, cli.ForProfile(fmt.Errorf("not compared with a login: %w", err), p.Name))
	}
}

// revoke ends the login that a leaked token belongs to.
func (f *foreign) revoke(ctx context.Context, p config.Profile, token string) {
	provider, _ := config.FindProvider(p.Provider)
	server := sanitize.Line(p.WithProvider().Authority())
	byHand := fmt.Sprintf("revoke it at %s, then run 'fob login %s'", cmp.Or(provider.RevokeAt, server), p.Name)
	fail := func(token string, err error, hint string) {
		f.failed = append(f.failed, cli.WithHint(fmt.Errorf("the %s of %q was not revoked: %w", token, p.Name, err), "%s", hint))
	}
	f.a.Note("It is the %s of %q, a login at %s.", token, p.Name, server)
	if provider.Revocation == config.RevokesNothing {
		fail(token, fmt.Errorf("%s offers no revocation", provider.Title), byHand)
		return
	}
	if f.opts.DryRun {
		f.a.Note("Would revoke the login.")
		return
	}
	steps, err := f.revokeConfirmed(ctx, p, token)
	if err != nil {
		f.failed = append(f.failed, cli.ForProfile(err, p.Name))
	}
	for _, step := range steps {
		unsupported := errors.Is(step.Err, oauth.ErrUnsupported)
		switch {
		case step.Err == nil:
			f.a.Note("Revoked the %s.", step.Token)
		case unsupported && step.Token == token:
			fail(token, errors.New("the server does not support it"), byHand)
		case unsupported:
			f.a.Note("The %s was not revoked: the server does not support it.", step.Token)
		default:
			fail(step.Token, step.Err, "run it again; or "+byHand)
		}
	}
	if slices.ContainsFunc(steps, func(step session.Step) bool { return step.Token == token && step.Err == nil }) {
		f.a.Note("Log in again: 'fob login %s'.", p.Name)
	}
}

func (f *foreign) revokeConfirmed(ctx context.Context, p config.Profile, token string) ([]session.Step, error) {
	if !f.opts.Yes {
		unasked := cli.WithHint(cli.Usagef("refusing to revoke the login %q without confirmation (not a terminal)", p.Name), "use --yes")
		if err := f.a.Confirm(ctx, fmt.Sprintf("Revoke the login %q? What uses it stops working until you log in again.", p.Name), unasked); err != nil {
			return nil, err
		}
	}
	s, err := f.a.Session(p)
	if err != nil {
		return nil, err
	}
	s.Current = func() error { return f.a.StillIn(s.Store, p.Name) }
	if token == session.StepAccessToken {
		return s.Revoke(ctx, f.value)
	}
	return s.Revoke(ctx)
}
