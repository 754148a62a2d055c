package agent

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/seal"
)

// tokenPlaces is how many token requests are served at once. They may take long, and must
// leave places for a request to lock the agent.
const tokenPlaces = 256

// SealKey is the name of the sealed files' key in a Memory: no profile's name has a space.
const SealKey = "seal key"

// ErrOtherProfile means that the profile is configured differently here.
var ErrOtherProfile = errors.New("the agent has another profile of this name")

// Tokens provides the tokens for a Handler, with the configuration of the moment.
type Tokens interface {
	// Token gets an access token as a new process would; note shows a line at the client. It
	// returns ErrOtherProfile for a profile that the client has configured differently.
	Token(ctx context.Context, r Request, note func(line string)) (*Token, error)
	// Failure describes an error of Token.
	Failure(r Request, err error) *Failure
	// NeedsKey reports whether logins are in files whose key only the user has.
	NeedsKey() bool
}

// Handler responds to the requests of this machine.
type Handler struct {
	home        Home
	tokens      Tokens
	memory      *Memory
	forgetAfter time.Duration
	stop        func()
	places      chan struct{}
}

// NewHandler returns a Handler for the tokens of home. stop stops the agent.
func NewHandler(home Home, tokens Tokens, memory *Memory, forgetAfter time.Duration, stop func()) *Handler {
	return &Handler{home, tokens, memory, forgetAfter, stop, make(chan struct{}, tokenPlaces)}
}

// Answer is an Answerer.
func (h *Handler) Answer(ctx context.Context, r Request, note func(string)) Answer {
	switch r.Do {
	case DoToken, DoNamed:
		select {
		case h.places <- struct{}{}:
			defer func() { <-h.places }()
			return h.token(ctx, r, note)
		default:
			return fallbackAnswer("the agent is busy", "try again")
		}
	case DoStatus:
	case DoLock:
		h.memory.Lock()
	case DoUnlock:
		h.memory.Unlock()
		h.memory.PutSealKey(r.Key)
	case DoStop:
		h.stop()
	default:
		return fallbackAnswer("the agent speaks a different protocol version", "restart it: 'fob agent stop', then 'fob agent --detach'")
	}
	return Answer{Status: h.Status()}
}

// fallbackAnswer leaves the request to the client.
func fallbackAnswer(reason, hint string) Answer {
	return Answer{Failure: &Failure{Error: reason, Hint: hint, Status: cli.ExitFailed, Fallback: true}}
}

// Status returns the agent's state.
func (h *Handler) Status() *Status {
	s := &Status{PID: os.Getpid(), Locked: h.memory.Locked(), Profiles: []string{}, ForgetAfter: h.forgetAfter}
	for _, name := range h.memory.Names() {
		if name == SealKey {
			s.Files = true
		} else {
			s.Profiles = append(s.Profiles, name)
		}
	}
	s.NeedsKey = !s.Files && h.tokens.NeedsKey()
	return s
}

func (h *Handler) token(ctx context.Context, r Request, note func(string)) Answer {
	locked := fallbackAnswer("the agent is locked", "run 'fob agent unlock'")
	switch {
	case r.Home != h.home:
		return fallbackAnswer("the agent serves the logins of another folder", "set FOB_HOME and FOB_STORAGE as when it was started, or FOB_AGENT=off")
	case h.memory.Locked():
		return locked
	}
	token, err := h.tokens.Token(ctx, r, note)
	if errors.Is(err, seal.ErrWrongKey) { // the files may have another key by now
		h.memory.Drop(SealKey)
		token, err = h.tokens.Token(ctx, r, note)
	}
	switch {
	case h.memory.Locked(): // meanwhile
		return locked
	case errors.Is(err, ErrOtherProfile):
		return fallbackAnswer(err.Error(), "rename the profile, or set FOB_AGENT=off")
	case err != nil:
		return Answer{Failure: h.tokens.Failure(r, err)}
	}
	return Answer{Token: token}
}

// PutSealKey caches the key of the sealed files, if it is one, and clears the argument.
func (m *Memory) PutSealKey(key []byte) {
	if _, err := seal.KeyFromBytes(key); err == nil {
		m.Put(SealKey, key)
	}
	clear(key)
}
