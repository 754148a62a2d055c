package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/seal"
)

// The journal is the write-ahead file of a refresh, under the login's lock: first only the
// intent, then, after the server's response, the rotated refresh token, sealed. It is deleted
// once the record has the token. After a crash or a failed save the next call resumes from it.

// journalIntent is the journal between request and response.
const journalIntent = "fob is refreshing\n"

type rotation struct {
	RefreshToken     sealedSecret `json:"refresh_token"`
	RefreshExpiresAt time.Time    `json:"refresh_expires_at,omitzero"`
	RefreshSaidAt    time.Time    `json:"refresh_said_at,omitzero"`
	Scope            string       `json:"scope,omitempty"`

	PreviousRefreshToken sealedSecret `json:"previous_refresh_token,omitzero"`
}

// newRotation keeps of the record what the response does not change. The scope of a narrower
// token is not the login's (RFC 6749 §6).
func newRotation(r *record, response *oauth.TokenResponse, refused bool, t Target, now time.Time) rotation {
	next := rotation{RefreshToken: r.RefreshToken, RefreshExpiresAt: r.RefreshExpiresAt, RefreshSaidAt: r.RefreshSaidAt, Scope: r.Scope}
	if refused { // a new token may have come all the same
		next.PreviousRefreshToken = cmp.Or(r.PreviousRefreshToken, r.RefreshToken)
	}
	if !response.RefreshToken.IsZero() {
		next.RefreshToken.Secret = response.RefreshToken
	}
	if end := response.RefreshExpiry(); !end.IsZero() {
		next.RefreshExpiresAt, next.RefreshSaidAt = end, now.UTC()
	}
	if scope := response.Scope(); scope != "" && t == (Target{}) {
		next.Scope = scope
	}
	return next
}

func (n rotation) apply(r *record) {
	r.RefreshToken, r.RefreshExpiresAt, r.RefreshSaidAt, r.Scope = n.RefreshToken, n.RefreshExpiresAt, n.RefreshSaidAt, n.Scope
	r.PreviousRefreshToken = n.PreviousRefreshToken
	r.Ended = false // the server has just accepted it
}

func (n rotation) changes(r *record) bool {
	return r.Ended || n.RefreshToken != r.RefreshToken || n.PreviousRefreshToken != r.PreviousRefreshToken || !n.RefreshExpiresAt.Equal(r.RefreshExpiresAt) || n.Scope != r.Scope
}

// recover puts the rotated token of an interrupted refresh into the record. It reports
// whether a refresh was interrupted before its response, so that the server may or may not
// have rotated the token.
func (s *Session) recover(ctx context.Context, r *record) (cutOff bool, err error) {
	content, err := s.journal().read()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the journal of profile %q: %w", s.Profile.Name, err)
	}
	if string(content) == journalIntent {
		return true, nil
	}
	var next rotation
	err = s.journal().open(r.head, content, &next)
	if errors.Is(err, seal.ErrWrongKey) { // of a login that was replaced since
		return false, s.journal().drop()
	}
	if err != nil {
		return false, fmt.Errorf("the journal of profile %q: %w", s.Profile.Name, err)
	}
	next.apply(r)
	if err := s.save(ctx, r); err != nil {
		return false, err
	}
	s.Warn(fmt.Sprintf("an earlier refresh of profile %q was interrupted; its new token was recovered", s.Profile.Name))
	return false, s.journal().drop()
}
