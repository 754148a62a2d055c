package agent

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/seal"
)

// tokenPlaces is how many requests for tokens are served at once. Each may take long, so
// they leave places for a request to lock the agent.
const tokenPlaces = 256

// SealKey names the key of the sealed files in a Memory: no profile has a blank in its name.
const SealKey = "seal key"

// ErrOtherProfile is a request for a profile that is configured differently here.
var ErrOtherProfile = errors.New("the agent's profile of this name is another one")

// Tokens are the logins that a Handler answers from, with the configuration of the moment.
type Tokens interface {
	// Token gets an access token as a new process would; note shows a line to the person who
	// asked. A profile that is not the one asked for is ErrOtherProfile.
	Token(ctx context.Context, r Request, note func(line string)) (*Token, error)
	// Failure is the answer where Token failed.
	Failure(r Request, err error) *Failure
	// NeedsKey reports whether logins are in files that open only with a key from a person.
	NeedsKey() bool
}

// Handler answers the requests of this machine.
type Handler struct {
	home        Home
	tokens      Tokens
	memory      *Memory
	forgetAfter time.Duration
	stop        func()
	places      chan struct{}
}

// NewHandler answers from tokens, which belong to home. stop ends the agent.
func NewHandler(home Home, tokens Tokens, memory *Memory, forgetAfter time.Duration, stop func()) *Handler {
	return &Handler{home, tokens, memory, forgetAfter, stop, make(chan struct{}, tokenPlaces)}
}

// Answer is an Answerer.
func (h *Handler) Answer(ctx context.Context, r Request, note func(string)) Answer {
	switch r.Do {
	case DoToken:
		select {
		case h.places <- struct{}{}:
			defer func() { <-h.places }()
			return h.token(ctx, r, note)
		default:
			return cannot("the agent is busy", "try again")
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
		return cannot("the agent is of another version, and does not know this request", "end it: 'fob agent stop'")
	}
	return Answer{Status: h.Status()}
}

// cannot leaves a request to the process that asked.
func cannot(reason, hint string) Answer {
	return Answer{Failure: &Failure{Error: reason, Hint: hint, Status: cli.ExitFailed, Fallback: true}}
}

// Status is what the agent holds.
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
	locked := cannot("the agent is locked", "run 'fob agent unlock'")
	switch {
	case r.Home != h.home:
		return cannot("the agent holds the logins of other files", "set FOB_HOME and FOB_STORAGE as when it was started, or FOB_AGENT=off")
	case h.memory.Locked():
		return locked
	}
	token, err := h.tokens.Token(ctx, r, note)
	if errors.Is(err, seal.ErrWrongKey) { // the files may have another by now
		h.memory.Drop(SealKey)
		token, err = h.tokens.Token(ctx, r, note)
	}
	switch {
	case h.memory.Locked(): // meanwhile
		return locked
	case errors.Is(err, ErrOtherProfile):
		return cannot(err.Error(), "call the profile by another name, or set FOB_AGENT=off")
	case err != nil:
		return Answer{Failure: h.tokens.Failure(r, err)}
	}
	return Answer{Token: token}
}

// PutSealKey holds the key of the sealed files, if it is one, and clears the argument.
func (m *Memory) PutSealKey(key []byte) {
	if _, err := seal.KeyFromBytes(key); err == nil {
		m.Put(SealKey, key)
	}
	clear(key)
}
