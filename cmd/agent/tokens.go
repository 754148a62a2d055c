package agent

import (
	"context"
	"errors"
	"time"

	"github.com/fobcli/fob/internal/agent"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/session"
)

// tokens are this machine's logins (agent.Tokens).
type tokens struct {
	a      *app.App
	memory *agent.Memory
}

func (t tokens) Token(ctx context.Context, r agent.Request, note func(string)) (*agent.Token, error) {
	if err := config.CheckName(r.Profile); err != nil {
		return nil, cli.AsUsage(err)
	}
	if r.MinTTL != nil && *r.MinTTL < 0 {
		return nil, cli.Usagef("a token cannot be valid for %s", *r.MinTTL)
	}
	a := t.a.ForRequest(t.memory, note)
	p, err := a.Profile([]string{r.Profile})
	if err != nil {
		return nil, err
	}
	if paths, _ := a.Paths(); r.Do == agent.DoNamed && (r.Folder != agent.FolderID(paths.Config) || app.ShowsIdentity(p)) { // an identity may be in the client's environment
		return nil, agent.ErrOtherProfile
	}
	if profile := p.WithProvider(); r.Issuer != "" && (profile.Authority() != r.Issuer || profile.ClientID != r.ClientID) {
		return nil, agent.ErrOtherProfile
	}
	token, err := a.Token(ctx, p, session.TokenOptions{
		Target: session.Target{Scope: r.Scope, Resource: r.Resource}, MinTTL: r.MinTTL, ForceRefresh: r.ForceRefresh, WantIDToken: r.IDToken,
	})
	if err != nil {
		return nil, err
	}
	return app.NewAgentToken(token, r.IDToken), nil
}

// Failure makes the client work without the agent if it may have what the agent lacks: a
// terminal, another environment, a key.
func (t tokens) Failure(r agent.Request, err error) *agent.Failure {
	err = cli.ForProfile(err, r.Profile)
	fallback := app.IsUsage(err)
	for _, missing := range []error{credstore.ErrNoKey, credstore.ErrKeyMissing, credstore.ErrAbsent, seal.ErrWrongKey} {
		fallback = fallback || errors.Is(err, missing)
	}
	return &agent.Failure{Error: sanitize.Lines(err.Error()), Hint: t.a.Hint(err), Status: t.a.Status(err), Fallback: fallback}
}

func (t tokens) NeedsKey() bool {
	source, err := filesKeySource(t.a)
	return err == nil && source.Open != nil
}

// elapsed returns a clock that runs while the machine sleeps, and is never set back.
func elapsed(a *app.App) func() time.Duration {
	start := time.Now()
	return func() time.Duration {
		if up := a.Clock.Uptime(); up.Boot != "" {
			return up.Time
		}
		return time.Since(start)
	}
}
