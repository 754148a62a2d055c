// Package agent lets one process open logins for all others of its user, as ssh-agent
// does with keys: a server on a private socket, the client that asks it, and the memory
// in which it holds what was opened. It knows the protocol, and neither logins nor
// storage: who starts the server answers its requests.
//
// A client sends one Request, a line of JSON, and gets lines of Answer: notes for the
// person and signs of life, then the one that is Last.
package agent

import (
	"errors"
	"fmt"
	"time"
)

// What a Request asks for.
const (
	DoToken  = "token"  // an access token of a profile
	DoStatus = "status" // what the agent holds
	DoLock   = "lock"   // forget all, and hold nothing before DoUnlock
	DoUnlock = "unlock" // with the key of the sealed files, where a person has to give it
	DoStop   = "stop"
)

// Why there is no answer.
var (
	ErrAbsent   = errors.New("no agent listens there")
	ErrNoAnswer = errors.New("the agent did not answer")
	ErrRunning  = errors.New("an agent listens there already")
)

// Home is whose logins are meant: an agent answers for its own alone.
type Home struct {
	Config  string `json:"config"` // a path, as are all but the last
	Data    string `json:"data"`
	Cache   string `json:"cache"`
	Storage string `json:"storage,omitempty"` // FOB_STORAGE
}

// Request is what a client asks.
type Request struct {
	Do   string `json:"do"`
	Home Home   `json:"home,omitzero"`

	Profile  string `json:"profile,omitempty"`
	Issuer   string `json:"issuer,omitempty"` // that the profile has where it is asked for, if it is known there
	ClientID string `json:"client_id,omitempty"`

	Scope        string         `json:"scope,omitempty"` // separated by blanks
	Resource     string         `json:"resource,omitempty"`
	MinTTL       *time.Duration `json:"min_ttl,omitempty"` // nanoseconds
	ForceRefresh bool           `json:"force_refresh,omitempty"`
	IDToken      bool           `json:"id_token,omitempty"` // it is wanted, too

	Key []byte `json:"key,omitempty"` // of DoUnlock
}

// Format redacts the key.
func (r Request) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%q for %q", r.Do, r.Profile) }

// Answer is one line of what comes back.
type Answer struct {
	Note  string `json:"note,omitempty"` // for the person at the terminal
	Alive bool   `json:"alive,omitempty"`

	Last    bool     `json:"last,omitempty"`
	Token   *Token   `json:"token,omitempty"`
	Status  *Status  `json:"status,omitempty"`
	Failure *Failure `json:"failure,omitempty"`
}

// Token is an access token.
type Token struct {
	AccessToken string    `json:"access_token"`
	TokenType   string    `json:"token_type"`
	Scope       string    `json:"scope,omitempty"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
	IDToken     string    `json:"id_token,omitempty"`

	IDTokenExpiresAt time.Time `json:"id_token_expires_at,omitzero"`
}

// Format redacts the token.
func (Token) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[redacted]") }

// Status is what an agent tells of itself.
type Status struct {
	PID         int           `json:"pid,omitempty"`
	Forwarded   bool          `json:"forwarded,omitempty"` // Profiles are those that may be asked for
	Locked      bool          `json:"locked"`
	Profiles    []string      `json:"profiles"`  // whose logins are held open
	Files       bool          `json:"files"`     // the key of the sealed files is held
	NeedsKey    bool          `json:"needs_key"` // it opens no login in files before it is given that key
	ForgetAfter time.Duration `json:"forget_after"`
}

// Failure is why there is no token.
type Failure struct {
	Error    string `json:"error"`
	Hint     string `json:"hint,omitempty"`
	Status   int    `json:"status"`             // of the exit
	Fallback bool   `json:"fallback,omitempty"` // who asks may do it without the agent
}
