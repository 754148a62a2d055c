package cmd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/agent"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/safetext"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/session"
)

// agentKeeper is what stands behind the agent's socket. Each request is done as a new
// process would do it, with the configuration of that moment, but for what is held open.
type agentKeeper struct {
	a           *app
	home        agent.Home
	memory      *agent.Memory
	forgetAfter time.Duration
	stop        func()
}

func (k *agentKeeper) answer(ctx context.Context, r agent.Request, note func(string)) agent.Answer {
	switch r.Do {
	case agent.DoToken:
		return k.token(ctx, r, note)
	case agent.DoStatus:
		return agent.Answer{Status: k.status()}
	case agent.DoLock:
		k.memory.Lock()
		return agent.Answer{}
	case agent.DoUnlock:
		return k.unlock(r)
	case agent.DoStop:
		k.stop()
		return agent.Answer{}
	}
	return cannot("the agent is of another version, and does not know this request", "end it: 'fob agent stop'")
}

func (k *agentKeeper) status() *agent.Status {
	s := &agent.Status{PID: os.Getpid(), Locked: k.memory.Locked(), Profiles: []string{}, ForgetAfter: k.forgetAfter}
	for _, name := range k.memory.Names() {
		if name == sealKeyHeld {
			s.Files = true
		} else {
			s.Profiles = append(s.Profiles, name)
		}
	}
	return s
}

// cannot says why the agent leaves a request to who asked.
func cannot(reason, hint string) agent.Answer {
	return agent.Answer{Failure: &agent.Failure{Error: reason, Hint: hint, Status: exitFailed, Ask: true}}
}

// sealKeyHeld is the name of the key of the sealed files: no profile has a blank in it.
const sealKeyHeld = "seal key"

func (k *agentKeeper) unlock(r agent.Request) agent.Answer {
	k.memory.Unlock()
	if _, err := seal.KeyFromBytes(r.Key); err == nil {
		k.memory.Put(sealKeyHeld, r.Key)
	}
	clear(r.Key)
	return agent.Answer{}
}

func (k *agentKeeper) token(ctx context.Context, r agent.Request, note func(string)) agent.Answer {
	switch {
	case r.Home != k.home:
		return cannot("the agent holds the logins of other files", "set FOB_HOME and FOB_STORAGE as when it was started, or FOB_AGENT=off")
	case k.memory.Locked():
		return cannot("the agent is locked", "run 'fob agent unlock'")
	}
	one := k.newApp(note)
	token, err := one.tokenForAgent(ctx, r)
	if err == nil {
		return agent.Answer{Token: newAgentToken(token, r.IDToken)}
	}
	if errors.Is(err, seal.ErrWrongKey) { // the files may have another by now
		k.memory.Drop(sealKeyHeld)
	}
	err = forProfile(err, r.Profile)
	status := exitOf(err)
	return agent.Answer{Failure: &agent.Failure{
		Error: safetext.Lines(err.Error()), Hint: hintIn(err), Status: status,
		Ask: status == exitStorage || status == exitUsage, // whose terminal and environment may help
	}}
}

// newApp is fob as it would be started for one request, but that it holds things, and
// that there is nobody to ask.
func (k *agentKeeper) newApp(note func(string)) *app {
	environ := make(map[string]string)
	for name, value := range k.a.environ {
		if !holdsSecret(name) || name == "FOB_SEAL_KEY" || name == "FOB_PASSPHRASE_FILE" {
			environ[name] = value
		}
	}
	environ["FOB_AGENT"] = agentOff
	environ["CI"] = "agent" // asks no questions
	one := newApp(strings.NewReader(""), io.Discard, noteWriter(note), environ)
	one.held = k.memory
	return one
}

// noteWriter passes lines on.
type noteWriter func(line string)

func (w noteWriter) Write(text []byte) (int, error) {
	for line := range bytes.Lines(text) {
		w(string(bytes.TrimRight(line, "\n")))
	}
	return len(text), nil
}

func (a *app) tokenForAgent(ctx context.Context, r agent.Request) (*session.Token, error) {
	if err := config.ValidName(r.Profile); err != nil {
		return nil, &usageError{err.Error()}
	}
	p, err := a.profile([]string{r.Profile})
	if err != nil {
		return nil, err
	}
	return a.token(ctx, p, session.TokenOptions{
		Target: session.Target{Scope: r.Scope, Resource: r.Resource}, MinTTL: r.MinTTL, ForceRefresh: r.ForceRefresh, WantIDToken: r.IDToken,
	})
}

func newAgentToken(t *session.Token, idToken bool) *agent.Token {
	token := &agent.Token{AccessToken: t.Value.Reveal(), TokenType: t.Type, Scope: t.Scope, ExpiresAt: t.ExpiresAt}
	if idToken {
		token.IDToken, token.IDTokenExpiresAt = t.IDToken.Reveal(), t.IDTokenExpiresAt
	}
	return token
}

// heldKey is a source whose key is asked for once, where there is something to hold it.
func (a *app) heldKey(source credstore.KeySource) credstore.KeySource {
	if a.held == nil {
		return source
	}
	return func(ctx context.Context, create bool) (seal.Key, error) {
		if key, err := seal.KeyFromBytes(a.held.Get(sealKeyHeld)); err == nil {
			return key, nil
		}
		key, err := source(ctx, create)
		if err == nil {
			a.held.Put(sealKeyHeld, key.Bytes())
		}
		return key, err
	}
}
