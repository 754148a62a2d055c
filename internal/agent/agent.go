// Package agent lets one process open logins for all others of its user, as ssh-agent does
// with keys: a server on a private socket, its client, and the memory that caches what was
// opened. Logins and storage are behind the interface Tokens.
//
// A client sends one Request, a line of JSON, and gets lines of Answer: notes for the user
// and signs of life, then the Last one.
package agent

import (
	"errors"
	"fmt"
	"time"
)

// The requests.
const (
	DoToken  = "token"  // an access token of a profile
	DoNamed  = "named"  // DoToken by the name only, from a client that has not read its configuration
	DoStatus = "status" // what the agent caches
	DoLock   = "lock"   // forget everything, and cache nothing until DoUnlock
	DoUnlock = "unlock" // with the key of the sealed files, if the agent cannot find it
	DoStop   = "stop"
)

// Why there is no response.
var (
	ErrAbsent   = errors.New("no agent is running")
	ErrNoAnswer = errors.New("the agent did not respond")
	ErrRunning  = errors.New("an agent is already running")
)

// Home identifies a set of logins: an agent serves only its own.
type Home struct {
	Config  string `json:"config"` // a path, as are all but the last
	Data    string `json:"data"`
	Cache   string `json:"cache"`
	Storage string `json:"storage,omitempty"` // FOB_STORAGE
}

// Request is a client's request.
type Request struct {
	Do   string `json:"do"`
	Home Home   `json:"home,omitzero"`

	Profile  string `json:"profile,omitempty"`
	Issuer   string `json:"issuer,omitempty"` // as configured at the client, if it is
	ClientID string `json:"client_id,omitempty"`
	Folder   string `json:"folder,omitempty"` // of DoNamed: the FolderID of the client's config.toml

	Scope        string         `json:"scope,omitempty"` // space-separated
	Resource     string         `json:"resource,omitempty"`
	MinTTL       *time.Duration `json:"min_ttl,omitempty"` // nanoseconds
	ForceRefresh bool           `json:"force_refresh,omitempty"`
	IDToken      bool           `json:"id_token,omitempty"` // return the id_token, too

	Key []byte `json:"key,omitempty"` // of DoUnlock
}

// Format redacts the key.
func (r Request) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%q for %q", r.Do, r.Profile) }

// Answer is one line of a response.
type Answer struct {
	Note  string `json:"note,omitempty"` // for the user at the terminal
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

// Status is the state of an agent.
type Status struct {
	PID         int           `json:"pid,omitempty"`
	Forwarded   bool          `json:"forwarded,omitempty"` // Profiles are the forwarded ones
	Locked      bool          `json:"locked"`
	Profiles    []string      `json:"profiles"`  // whose logins are cached
	Files       bool          `json:"files"`     // the key of the sealed files is cached
	NeedsKey    bool          `json:"needs_key"` // it cannot open logins in files without that key
	ForgetAfter time.Duration `json:"forget_after"`
}

// Failure is why there is no token.
type Failure struct {
	Error    string `json:"error"`
	Hint     string `json:"hint,omitempty"`
	Status   int    `json:"status"`             // of the exit
	Fallback bool   `json:"fallback,omitempty"` // the client may do without the agent
}
