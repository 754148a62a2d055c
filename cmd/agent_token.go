package cmd

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"github.com/fobcli/fob/internal/agent"
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/safetext"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/session"
)

// agentToken asks the agent for a token. It is nil where none listens, or it cannot serve
// this profile here: fob does the same alone.
func (a *app) agentToken(ctx context.Context, p config.Profile, want session.TokenOptions) (*session.Token, error) {
	path, named, err := a.agentSocket()
	if err != nil || path == "" {
		return nil, err
	}
	home, err := a.agentHome()
	if err != nil {
		return nil, err
	}
	whole, alone := p.WithProvider(), !isElsewhere(p)
	answer, err := agent.Ask(ctx, path, agent.Request{
		Do: agent.DoToken, Home: home, Profile: p.Name, Issuer: whole.Authority(), ClientID: whole.ClientID, Scope: want.Scope,
		Resource: want.Resource, MinTTL: want.MinTTL, ForceRefresh: want.ForceRefresh, IDToken: want.WantIDToken,
	}, a.agentNote)
	switch unsafe := errors.Is(err, atomicfile.ErrUnsafe); {
	case unsafe && !named: // as root with another user's environment, perhaps
		a.warn(err.Error() + ": it is not asked")
		return nil, nil
	case err != nil && alone && !unsafe && ctx.Err() == nil:
		return nil, nil
	case err != nil:
		return nil, withHint(err, "see whether an agent listens at FOB_AGENT (%s), or set FOB_AGENT=off", path)
	case answer.Failure != nil && answer.Failure.Fallback && alone:
		return nil, nil
	case answer.Failure != nil:
		return nil, newAgentError(answer.Failure)
	}
	return tokenFromAgent(answer.Token)
}

// tokenProfile is profile for who wants a token. One that is named and not configured may
// be another machine's, whose agent FOB_AGENT names.
func (a *app) tokenProfile(args []string) (config.Profile, error) {
	p, err := a.profile(args)
	var selection *config.SelectError
	if socket := a.getenv("FOB_AGENT"); errors.As(err, &selection) && selection.Choice.Name != "" && socket != "" && socket != agentOff {
		return config.Profile{Name: selection.Choice.Name}, nil
	}
	return p, err
}

// isElsewhere reports whether a profile is a name alone, for another machine's agent.
func isElsewhere(p config.Profile) bool { return reflect.DeepEqual(p, config.Profile{Name: p.Name}) }

// agentNote shows a line that an agent has sent, which another machine's may be.
func (a *app) agentNote(line string) { a.note("%s", safetext.Line(line)) }

// tokenFromAgent takes no token that could not stand in a header.
func tokenFromAgent(t *agent.Token) (*session.Token, error) {
	switch {
	case t == nil || t.AccessToken == "":
		return nil, errors.New("the agent's answer holds no token")
	case !safetext.IsVisibleASCII(t.AccessToken) || t.IDToken != "" && !safetext.IsVisibleASCII(t.IDToken) || !slices.Contains([]string{oauth.TypeBearer, oauth.TypeDPoP}, t.TokenType):
		return nil, errors.New("the agent's answer holds what is no token")
	}
	return &session.Token{
		Value: secret.New(t.AccessToken), Type: t.TokenType, Scope: t.Scope, ExpiresAt: t.ExpiresAt,
		IDToken: secret.New(t.IDToken), IDTokenExpiresAt: t.IDTokenExpiresAt,
	}, nil
}

// agentError is a failure that an agent tells of: it ends fob as it would have without.
type agentError struct {
	text   string
	status int
}

// newAgentError takes no status for a failure that is none.
func newAgentError(f *agent.Failure) error {
	err := &agentError{safetext.Lines(f.Error), f.Status}
	if !slices.Contains([]int{exitUsage, exitLoginRequired, exitUnavailable, exitStorage, exitLockTimeout, exitRefused}, f.Status) {
		err.status = exitFailed
	}
	if f.Hint == "" {
		return err
	}
	return withHint(err, "%s", safetext.Lines(f.Hint))
}

func (e *agentError) Error() string { return e.text }

func (e *agentError) Is(target error) bool {
	return map[int]error{
		exitLoginRequired: session.ErrLoginRequired,
		exitUnavailable:   oauth.ErrUnavailable,
		exitLockTimeout:   filelock.ErrTimeout,
	}[e.status] == target
}
