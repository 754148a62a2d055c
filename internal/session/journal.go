package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/seal"
)

// The journal is the write-ahead file of a refresh, under the login's lock. It
// first holds the bare intent, then, once the server has answered, the rotated
// refresh token sealed under the cache key. It goes when the record holds the
// token: what a crash or a failed save leaves is taken up by the next call.

// journalIntent is the journal between the send and the answer.
const journalIntent = "fob is refreshing\n"

const maxJournal = 1 << 20

// rotation is what a refresh changes of a record.
type rotation struct {
	RefreshToken     sealedSecret `json:"refresh_token"`
	RefreshExpiresAt time.Time    `json:"refresh_expires_at,omitzero"`
	Scope            string       `json:"scope,omitempty"`
}

// newRotation keeps of the record what the answer does not say.
func newRotation(r *record, response *oauth.TokenResponse) rotation {
	next := rotation{RefreshToken: r.RefreshToken, RefreshExpiresAt: r.RefreshExpiresAt, Scope: r.Scope}
	if !response.RefreshToken.IsZero() {
		next.RefreshToken.Secret = response.RefreshToken
	}
	if end := response.RefreshExpiry(); !end.IsZero() {
		next.RefreshExpiresAt = end
	}
	if scope := response.Scope(); scope != "" {
		next.Scope = scope
	}
	return next
}

func (n rotation) apply(r *record) {
	r.RefreshToken, r.RefreshExpiresAt, r.Scope = n.RefreshToken, n.RefreshExpiresAt, n.Scope
}

func (n rotation) changes(r *record) bool {
	return n.RefreshToken != r.RefreshToken || !n.RefreshExpiresAt.Equal(r.RefreshExpiresAt) || n.Scope != r.Scope
}

func (s *Session) journalPath() string {
	return filepath.Join(s.Paths.Data, "journal", s.Profile.Name)
}

func (s *Session) journalContext() seal.Context {
	c := s.context()
	c.Kind = "journal"
	return c
}

func (s *Session) writeJournal(content []byte) error {
	path := s.journalPath()
	if err := atomicfile.MkdirPrivate(filepath.Dir(path)); err != nil {
		return err
	}
	return atomicfile.Write(path, content)
}

// journalRotation makes the rotated token outlive a crash before it is in the record.
func (s *Session) journalRotation(r *record, next rotation) error {
	key, err := r.cacheKey()
	if err != nil {
		return err
	}
	plain, err := json.Marshal(next)
	if err != nil {
		return err
	}
	return s.writeJournal(key.Seal(s.journalContext(), plain))
}

func (s *Session) dropJournal() error {
	err := os.Remove(s.journalPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// recover takes up what an earlier refresh left behind: a rotated token goes into
// the record. It reports whether a refresh was cut off before its answer came, so
// that nobody knows whether the server has rotated the token.
func (s *Session) recover(ctx context.Context, r *record) (cutOff bool, err error) {
	content, err := atomicfile.Read(s.journalPath(), maxJournal)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the journal of profile %q: %w", s.Profile.Name, err)
	}
	if string(content) == journalIntent {
		return true, nil
	}
	key, err := r.cacheKey()
	if err != nil {
		return false, err
	}
	var next rotation
	plain, err := key.Open(s.journalContext(), content)
	if errors.Is(err, seal.ErrWrongKey) { // of a login that was replaced since
		return false, s.dropJournal()
	}
	if err == nil {
		err = json.Unmarshal(plain, &next)
	}
	if err != nil {
		return false, fmt.Errorf("the journal of profile %q: %w", s.Profile.Name, err)
	}
	next.apply(r)
	if err := s.save(ctx, r); err != nil {
		return false, err
	}
	s.Warn(fmt.Sprintf("an earlier refresh of profile %q was cut short; its new token was recovered", s.Profile.Name))
	return false, s.dropJournal()
}
