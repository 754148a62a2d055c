package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
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

// How many the agent serves at once. Tokens, which may take long, leave places for who
// wants to lock it.
const (
	agentPlaces = 512
	tokenPlaces = 256
)

// agentKeeper is what stands behind the agent's socket. Each request is done as a new
// process would do it, with the configuration of that moment, but for what is held open.
type agentKeeper struct {
	a           *app.App
	home        agent.Home
	memory      *agent.Memory
	forgetAfter time.Duration
	tokens      chan struct{}
	stop        func()
}

// newAgentKeeper takes FOB_SEAL_KEY into its memory, and out of the environment.
func newAgentKeeper(ctx context.Context, a *app.App, opts agentOptions) (*agentKeeper, error) {
	home, err := a.AgentHome()
	if err != nil {
		return nil, err
	}
	memory, err := agent.NewMemory(opts.forgetAfter, elapsed(a))
	if err != nil {
		return nil, cli.WithHint(err, "see 'ulimit -l': one page is needed")
	}
	k := &agentKeeper{a: a, home: home, memory: memory, forgetAfter: opts.forgetAfter, tokens: make(chan struct{}, tokenPlaces)}
	if a.Getenv(app.SealKeyVariable) != "" {
		key, err := filesKey(ctx, a)
		if err != nil {
			return nil, errors.Join(err, memory.Close())
		}
		k.takeKey(key)
		delete(a.Environ, app.SealKeyVariable)
	}
	return k, nil
}

// elapsed is a clock that goes on while the machine sleeps, and that nobody sets back.
func elapsed(a *app.App) func() time.Duration {
	start := time.Now()
	return func() time.Duration {
		if up := a.Clock.Uptime(); up.Boot != "" {
			return up.Time
		}
		return time.Since(start)
	}
}

func (k *agentKeeper) answer(ctx context.Context, r agent.Request, note func(string)) agent.Answer {
	switch r.Do {
	case agent.DoToken:
		select {
		case k.tokens <- struct{}{}:
			defer func() { <-k.tokens }()
			return k.token(ctx, r, note)
		default:
			return cannot("the agent is busy", "try again")
		}
	case agent.DoStatus:
	case agent.DoLock:
		k.memory.Lock()
	case agent.DoUnlock:
		k.memory.Unlock()
		k.takeKey(r.Key)
	case agent.DoStop:
		k.stop()
	default:
		return cannot("the agent is of another version, and does not know this request", "end it: 'fob agent stop'")
	}
	return agent.Answer{Status: k.status()}
}

// cannot says why the agent leaves a request to who asked.
func cannot(reason, hint string) agent.Answer {
	return agent.Answer{Failure: &agent.Failure{Error: reason, Hint: hint, Status: cli.ExitFailed, Fallback: true}}
}

func (k *agentKeeper) takeKey(key []byte) {
	if _, err := seal.KeyFromBytes(key); err == nil {
		k.memory.Put(app.SealKeyHeld, key)
	}
	clear(key)
}

func (k *agentKeeper) status() *agent.Status {
	s := &agent.Status{PID: os.Getpid(), Locked: k.memory.Locked(), Profiles: []string{}, ForgetAfter: k.forgetAfter}
	for _, name := range k.memory.Names() {
		if name == app.SealKeyHeld {
			s.Files = true
		} else {
			s.Profiles = append(s.Profiles, name)
		}
	}
	source, err := filesKeySource(k.newApp(func(string) {}))
	s.NeedsKey = err == nil && source.Open != nil && !s.Files
	return s
}

func (k *agentKeeper) token(ctx context.Context, r agent.Request, note func(string)) agent.Answer {
	locked := cannot("the agent is locked", "run 'fob agent unlock'")
	switch {
	case r.Home != k.home:
		return cannot("the agent holds the logins of other files", "set FOB_HOME and FOB_STORAGE as when it was started, or FOB_AGENT=off")
	case k.memory.Locked():
		return locked
	}
	token, err := tokenForAgent(ctx, k.newApp(note), r)
	if errors.Is(err, seal.ErrWrongKey) { // the files may have another by now
		k.memory.Drop(app.SealKeyHeld)
		token, err = tokenForAgent(ctx, k.newApp(note), r)
	}
	switch {
	case k.memory.Locked(): // meanwhile
		return locked
	case errors.Is(err, errOtherProfile):
		return cannot(err.Error(), "call the profile by another name, or set FOB_AGENT=off")
	case err != nil:
		return agent.Answer{Failure: k.newAgentFailure(cli.ForProfile(err, r.Profile))}
	}
	return agent.Answer{Token: app.NewAgentToken(token, r.IDToken)}
}

// newAgentFailure lets who asks try without the agent where it has what the agent has not:
// a terminal, another environment, a key.
func (k *agentKeeper) newAgentFailure(err error) *agent.Failure {
	fallback := app.IsUsage(err)
	for _, missing := range []error{credstore.ErrNoKey, credstore.ErrAbsent, seal.ErrWrongKey} {
		fallback = fallback || errors.Is(err, missing)
	}
	return &agent.Failure{Error: sanitize.Lines(err.Error()), Hint: k.a.Hint(err), Status: k.a.Status(err), Fallback: fallback}
}

// newApp is fob as it would be started for one request, but that it holds things, and
// that there is nobody to ask.
func (k *agentKeeper) newApp(note func(string)) *app.App {
	environ := make(map[string]string)
	for name, value := range k.a.Environ {
		if !app.HoldsSecret(name) || name == "FOB_PASSPHRASE_FILE" {
			environ[name] = value
		}
	}
	environ["FOB_AGENT"] = app.AgentOff
	one := app.New(strings.NewReader(""), io.Discard, noteWriter(note), environ)
	one.Hint, one.Status = k.a.Hint, k.a.Status
	one.Held, one.Unattended = k.memory, true
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

var errOtherProfile = errors.New("the agent's profile of this name is another one")

func tokenForAgent(ctx context.Context, a *app.App, r agent.Request) (*session.Token, error) {
	if err := config.ValidName(r.Profile); err != nil {
		return nil, cli.AsUsage(err)
	}
	if r.MinTTL != nil && *r.MinTTL < 0 {
		return nil, cli.Usagef("a token cannot be good for %s", *r.MinTTL)
	}
	p, err := a.Profile([]string{r.Profile})
	if err != nil {
		return nil, err
	}
	if whole := p.WithProvider(); r.Issuer != "" && (whole.Authority() != r.Issuer || whole.ClientID != r.ClientID) {
		return nil, errOtherProfile
	}
	return a.Token(ctx, p, session.TokenOptions{
		Target: session.Target{Scope: r.Scope, Resource: r.Resource}, MinTTL: r.MinTTL, ForceRefresh: r.ForceRefresh, WantIDToken: r.IDToken,
	})
}
