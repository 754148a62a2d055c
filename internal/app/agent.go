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

// The sockets in the folder for them.
const (
	AgentSocketName   = "agent.sock"
	ForwardSocketName = "forward.sock"
)

// AgentOff is the value of FOB_AGENT that means none.
const AgentOff = "off"

// AgentSocket is where the agent listens, or "". named: FOB_AGENT says so.
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

// AgentHome is whose logins a request of this process means.
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

// NewAgentToken is a token as the agent passes it on.
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
	one.IO, one.AgentCache, one.opened = &terminal, cache, newOpened()
	return &one
}

// ForgetSecrets takes out of the environment what an agent must not answer with, and
// itself: its requests are answered from what is stored. Their names stay: they are how
// process.HideVariables finds its way through the environment.
func (a *App) ForgetSecrets() {
	for name := range a.Environ {
		if HoldsSecret(name) && name != "FOB_PASSPHRASE_FILE" {
			a.Environ[name] = ""
		}
	}
	a.Environ["FOB_AGENT"] = AgentOff
}

// NoteLine shows lines that an agent has sent, which another machine's may be.
func NoteLine(a *App) func(string) {
	return func(line string) { a.Note("%s", sanitize.Line(line)) }
}
