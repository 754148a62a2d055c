package app

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"github.com/fobcli/fob/internal/agent"
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/session"
	"github.com/fobcli/fob/internal/trace"
)

// NamedAgentToken gets a token by its profile's name from the agent, before the configuration
// is read. It returns nil if the agent does not serve it: Token then asks again, with the
// profile's settings, unless the agent did not respond.
func (a *App) NamedAgentToken(ctx context.Context, name string, want session.TokenOptions) (*session.Token, error) {
	path, named, err := a.AgentSocket()
	if err != nil || path == "" || named || name == "" {
		return nil, nil //nolint:nilerr // Token returns it
	}
	home, err := a.AgentHome()
	variable, _ := a.TokenVariable(name)
	if err != nil || variable != "" || a.Getenv("FOB_CONFIG") != "" || config.InWorkspace(home.Config, a.Getenv) {
		return nil, nil //nolint:nilerr // as above
	}
	answer, err := a.askAgent(ctx, path, agent.Request{Do: agent.DoNamed, Home: home, Profile: name, Folder: agent.FolderID(home.Config)}, want)
	a.opened.agentSilent.Store(errors.Is(err, agent.ErrNoAnswer))
	switch {
	case err != nil, answer.Failure != nil && answer.Failure.Fallback:
		return nil, nil //nolint:nilerr // as above
	case answer.Failure != nil:
		return nil, NewAgentError(answer.Failure)
	}
	return tokenFromAgent(answer.Token)
}

func (a *App) askAgent(ctx context.Context, path string, r agent.Request, want session.TokenOptions) (agent.Answer, error) {
	r.Scope, r.Resource, r.MinTTL, r.ForceRefresh, r.IDToken = want.Scope, want.Resource, want.MinTTL, want.ForceRefresh, want.WantIDToken
	answer, err := agent.Ask(ctx, path, r, NoteLine(a))
	trace.Printf(ctx, "agent %s: %s", path, agentOutcome(answer, err))
	return answer, err
}

// agentToken gets a token from the agent, or nil if none is running or it cannot serve this
// profile: fob then gets it itself.
func (a *App) agentToken(ctx context.Context, p config.Profile, want session.TokenOptions) (*session.Token, error) {
	path, named, err := a.AgentSocket()
	if err != nil || path == "" || !named && a.opened.agentSilent.Load() {
		return nil, err
	}
	home, err := a.AgentHome()
	if err != nil {
		return nil, err
	}
	profile, configured := p.WithProvider(), !isElsewhere(p)
	answer, err := a.askAgent(ctx, path, agent.Request{Do: agent.DoToken, Home: home, Profile: p.Name, Issuer: profile.Authority(), ClientID: profile.ClientID}, want)
	switch unsafe := errors.Is(err, atomicfile.ErrUnsafe); {
	case errors.Is(err, agent.ErrAbsent) && configured:
		return nil, nil
	case unsafe && !named: // perhaps run as root with another user's environment
		a.Warn(err.Error() + ": it is not used")
		return nil, nil
	case err != nil && configured && !unsafe && ctx.Err() == nil:
		return nil, nil
	case err != nil:
		return nil, cli.WithHint(err, "check that an agent runs at FOB_AGENT (%s), or set FOB_AGENT=off", path)
	case answer.Failure != nil && answer.Failure.Fallback && configured:
		return nil, nil
	case answer.Failure != nil:
		return nil, NewAgentError(answer.Failure)
	}
	return tokenFromAgent(answer.Token)
}

func agentOutcome(answer agent.Answer, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case answer.Failure != nil:
		return answer.Failure.Error
	}
	return "ok"
}

// TokenProfile is Profile for a token. A profile that is named but not configured may be
// another machine's, whose agent FOB_AGENT names.
func (a *App) TokenProfile(args []string) (config.Profile, error) {
	p, err := a.Profile(args)
	var selection *config.SelectError
	if socket := a.Getenv("FOB_AGENT"); errors.As(err, &selection) && selection.Choice.Name != "" && socket != "" && socket != AgentOff {
		return config.Profile{Name: selection.Choice.Name}, nil
	}
	return p, err
}

// isElsewhere reports whether a profile is only a name, for another machine's agent.
func isElsewhere(p config.Profile) bool { return reflect.DeepEqual(p, config.Profile{Name: p.Name}) }

// tokenFromAgent refuses a token that cannot be sent in a header.
func tokenFromAgent(t *agent.Token) (*session.Token, error) {
	switch {
	case t == nil || t.AccessToken == "":
		return nil, errors.New("invalid response of the agent: no token")
	case !sanitize.IsVisibleASCII(t.AccessToken) || t.IDToken != "" && !sanitize.IsVisibleASCII(t.IDToken) || !slices.Contains([]string{oauth.TypeBearer, oauth.TypeDPoP}, t.TokenType):
		return nil, errors.New("invalid response of the agent: not a token")
	}
	return &session.Token{
		Value: secret.New(t.AccessToken), Type: t.TokenType, Scope: t.Scope, ExpiresAt: t.ExpiresAt,
		IDToken: secret.New(t.IDToken), IDTokenExpiresAt: t.IDTokenExpiresAt,
	}, nil
}

// AgentError is a failure in an agent, with the exit status that it would have had here.
type AgentError struct {
	text   string
	Status int
}

// NewAgentError returns a failure's error, with ExitFailed if its status is not an error's.
func NewAgentError(f *agent.Failure) error {
	err := &AgentError{sanitize.Lines(f.Error), f.Status}
	if !slices.Contains([]int{cli.ExitUsage, cli.ExitLoginRequired, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitRefused}, f.Status) {
		err.Status = cli.ExitFailed
	}
	if f.Hint == "" {
		return err
	}
	return cli.WithHint(err, "%s", sanitize.Lines(f.Hint))
}

func (e *AgentError) Error() string { return e.text }

// Is reports the sentinel error that the failure would have been without an agent.
func (e *AgentError) Is(target error) bool {
	return map[int]error{
		cli.ExitLoginRequired: session.ErrLoginRequired,
		cli.ExitUnavailable:   oauth.ErrUnavailable,
		cli.ExitLockTimeout:   filelock.ErrTimeout,
	}[e.Status] == target
}
