package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/secret"
)

// State is the state of a login, as far as this machine knows.
type State string

// The states of a login.
const (
	StateValid       State = "valid"          // its access token is fresh
	StateRefreshable State = "refreshable"    // the next token call refreshes
	StateExpired     State = "expired"        // requires a new login
	StateEnded       State = "login required" // likewise: the server has ended it
	StateLoggedOut   State = "logged out"     // there is no record
	StateUnreadable  State = "unreadable"     // the record cannot be read
)

// Status describes a login. It has no secret.
type Status struct {
	State            State
	Account          Account
	Scope            string    // space-separated, as granted
	ACRValues        string    // how the user authenticated, or should have; empty: unknown
	AuthTime         time.Time // when
	AccessExpiresAt  time.Time // zero: there is no access token, or it has no expiry
	RefreshExpiresAt time.Time // end of the login itself; zero: unknown
	LoggedInAt       time.Time
	SavedAt          time.Time // when the record last changed
	Refreshes        bool      // can get fresh access tokens without the user; assumed if unreadable
	Registered       bool      // fob has registered the client, and can remove it
	Grant            string    // config.GrantClientCredentials; empty: a user's login
	DPoP             bool      // the tokens are bound to a key
	Err              error     // why the state is StateUnreadable
}

// Status reads the login without lock, network or write.
func (s *Session) Status(ctx context.Context) Status {
	r, err := s.loadAs(ctx, parseSummary)
	switch {
	case errors.Is(err, ErrLoginRequired):
		return Status{State: StateLoggedOut}
	case err != nil:
		return Status{State: StateUnreadable, Err: err, Refreshes: true}
	case r.LoggedOut:
		return Status{State: StateLoggedOut, Registered: true}
	}
	status := Status{
		Account:          r.Account,
		Scope:            r.Scope,
		ACRValues:        r.ACRValues,
		AuthTime:         cmp.Or(r.AuthTime, r.LoggedInAt),
		RefreshExpiresAt: r.RefreshExpiresAt,
		Registered:       r.Registration != nil,
		LoggedInAt:       r.LoggedInAt,
		SavedAt:          r.SavedAt,
		Refreshes:        r.isRenewable(),
		Grant:            r.Grant,
		DPoP:             !r.DPoPKey.IsZero(),
	}
	if r.Ended {
		status.State = StateEnded
		return status
	}
	access := r.AccessToken
	if access == nil {
		if access, err = s.cache(Target{}).readToken(r.head); err != nil {
			status.State, status.Err = StateUnreadable, err
			return status
		}
	}
	ended := !r.RefreshExpiresAt.IsZero() && !s.Clock.Now().Before(r.RefreshExpiresAt)
	switch {
	case access != nil && access.outlives(s.Clock, 0):
		status.State, status.AccessExpiresAt = StateValid, access.end(s.Clock)
	case !r.isRenewable() || ended:
		status.State = StateExpired
	default:
		status.State = StateRefreshable
	}
	return status
}

// EndSessionURL returns a page that ends the browser's session, or "" if the server has none.
func (s *Session) EndSessionURL(ctx context.Context) string {
	r, err := s.load(ctx)
	if err != nil || r.Grant != "" {
		return ""
	}
	return oauth.EndSessionURL(r.Metadata, r.ClientID)
}

// Holds returns which token of the login a value is, StepRefreshToken or StepAccessToken, or "".
// It reads the record, the journal, and the cached tokens of all targets.
func (s *Session) Holds(ctx context.Context, value secret.Secret) (token string, err error) {
	r, err := s.load(ctx)
	if errors.Is(err, ErrLoginRequired) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var next rotation
	content, err := s.journal().read()
	if err == nil && string(content) != journalIntent {
		err = s.journal().open(r.head, content, &next)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, seal.ErrWrongKey) {
		return "", fmt.Errorf("the journal of profile %q: %w", s.Profile.Name, err)
	}
	refresh := []sealedSecret{r.RefreshToken, r.PreviousRefreshToken, next.RefreshToken, next.PreviousRefreshToken}
	if slices.Contains(refresh, sealedSecret{value}) {
		return StepRefreshToken, nil
	}
	if r.AccessToken != nil && value == r.AccessToken.Value.Secret {
		return StepAccessToken, nil
	}
	all, err := s.caches()
	for _, cache := range all {
		cached, readErr := cache.readToken(r.head)
		if err = errors.Join(err, readErr); cached != nil && value == cached.Value.Secret {
			return StepAccessToken, nil
		}
	}
	return "", err
}
