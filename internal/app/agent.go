package app

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/fobcli/fob/internal/agent"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/session"
)

// The sockets in the runtime folder.
const (
	AgentSocketName   = "agent.sock"
	ForwardSocketName = "forward.sock"
)

// AgentOff is the value of FOB_AGENT for no agent.
const AgentOff = "off"

// AgentSocket is the agent's socket, or "". named reports whether FOB_AGENT is set.
func (a *App) AgentSocket() (path string, named bool, err error) {
	switch given := a.Getenv("FOB_AGENT"); {
	case given == AgentOff:
		return "", true, nil
	case given != "":
		if err := agent.CheckPath(given); err != nil {
			return "", true, cli.WithHint(cli.Usagef("FOB_AGENT: %s", err), "set it to the path of a socket, or to off")
		}
		return given, true, nil
	}
	paths, err := a.Paths()
	path = filepath.Join(paths.Runtime, AgentSocketName)
	if err != nil || agent.CheckPath(path) != nil {
		path = ""
	}
	return path, false, err
}

// AgentHome identifies the logins of this process.
func (a *App) AgentHome() (agent.Home, error) {
	paths, err := a.Paths()
	if err != nil {
		return agent.Home{}, err
	}
	if paths.Config != "" {
		paths.Config, err = filepath.Abs(paths.Config) // FOB_CONFIG may be relative
	}
	return agent.Home{Config: paths.Config, Data: paths.Data, Cache: paths.Cache, Storage: a.Getenv("FOB_STORAGE")}, err
}

// NewAgentToken converts a token for the agent's protocol.
func NewAgentToken(t *session.Token, idToken bool) *agent.Token {
	token := &agent.Token{AccessToken: t.Value.Reveal(), TokenType: t.Type, Scope: t.Scope, ExpiresAt: t.ExpiresAt}
	if idToken {
		token.IDToken, token.IDTokenExpiresAt = t.IDToken.Reveal(), t.IDTokenExpiresAt
	}
	return token
}

// cachedKey is a source that is asked once, where there is a cache for the key.
func cachedKey(cache session.AgentCache, source credstore.KeySource) credstore.KeySource {
	if cache == nil {
		return source
	}
	return func(ctx context.Context, create bool) (seal.Key, error) {
		if key, err := seal.KeyFromBytes(cache.Get(agent.SealKey)); err == nil {
			return key, nil
		}
		raw, err := cache.Open(ctx, agent.SealKey, func(ctx context.Context) ([]byte, error) {
			key, err := source(ctx, create)
			if err != nil {
				return nil, err
			}
			cache.Put(agent.SealKey, key.Bytes())
			return key.Bytes(), nil
		})
		if err != nil {
			return seal.Key{}, err
		}
		return seal.KeyFromBytes(raw)
	}
}

// ForRequest returns an App for one request to an agent: it uses the agent's cache, never
// prompts, and passes its notes to note.
func (a *App) ForRequest(cache session.AgentCache, note func(line string)) *App {
	one, terminal := *a, *a.IO
	terminal.In, terminal.Notes, terminal.Unattended = strings.NewReader(""), note, true
	one.IO, one.AgentCache, one.opened = &terminal, cache, newResources()
	return &one
}

// ForgetSecrets clears secrets in an agent's environment, and the agent itself: it serves only
// stored logins. Their names stay: process.HideVariables finds its way through the
// environment by them.
func (a *App) ForgetSecrets() {
	for name := range a.Environ {
		if HoldsSecret(name) && name != "FOB_PASSPHRASE_FILE" {
			a.Environ[name] = ""
		}
	}
	a.Environ["FOB_AGENT"] = AgentOff
}

// NoteLine shows lines from an agent, which may be another machine's.
func NoteLine(a *App) func(string) {
	return func(line string) { a.Note("%s", sanitize.Line(line)) }
}
