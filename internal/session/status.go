package session

import (
	"context"
	"errors"
	"time"
)

// State is what a login is good for, as far as this machine knows.
type State string

// The states of a login.
const (
	StateValid       State = "valid"       // its access token is fresh
	StateRefreshable State = "refreshable" // the next token call refreshes
	StateExpired     State = "expired"     // only a new login helps
	StateLoggedOut   State = "logged out"  // there is no record
	StateUnreadable  State = "unreadable"  // the storage does not give it
)

// Status is a login as it stands. It holds no secret.
type Status struct {
	State            State
	Account          Account
	Scope            string    // space-separated, as granted
	AccessExpiresAt  time.Time // zero: no access token at hand, or without an expiry
	RefreshExpiresAt time.Time // the login's own end; zero: the server did not say
	LoggedInAt       time.Time
	SavedAt          time.Time // when the record last changed
	Refreshes        bool      // there is a refresh token, or a login that does not open
	Err              error     // why the state is StateUnreadable
}

// Status reads the login without lock, network or write.
func (s *Session) Status(ctx context.Context) Status {
	r, err := s.load(ctx)
	switch {
	case errors.Is(err, ErrLoginRequired):
		return Status{State: StateLoggedOut}
	case err != nil:
		return Status{State: StateUnreadable, Err: err, Refreshes: true}
	}
	status := Status{
		Account:          r.Account,
		Scope:            r.Scope,
		RefreshExpiresAt: r.RefreshExpiresAt,
		LoggedInAt:       r.LoggedInAt,
		SavedAt:          r.SavedAt,
		Refreshes:        !r.RefreshToken.IsZero(),
	}
	access := r.AccessToken
	if access == nil {
		if access, err = s.readCache(r.head); err != nil {
			status.State, status.Err = StateUnreadable, err
			return status
		}
	}
	ended := !r.RefreshExpiresAt.IsZero() && !s.Clock.Now().Before(r.RefreshExpiresAt)
	switch {
	case access != nil && access.outlives(s.Clock, 0):
		status.State, status.AccessExpiresAt = StateValid, access.ExpiresAt
	case r.RefreshToken.IsZero() || ended:
		status.State = StateExpired
	default:
		status.State = StateRefreshable
	}
	return status
}
