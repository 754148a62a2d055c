package session

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/seal"
)

// maxCacheFile bounds what is read back; a token endpoint's answer is under 1 MiB.
const maxCacheFile = 2 << 20

// cachePath is the file of the login's cached access token. It is safe to
// delete at any time.
func (s *Session) cachePath() string {
	return filepath.Join(s.Paths.Cache, "tokens", s.Profile.Name)
}

func (s *Session) cacheContext() seal.Context {
	c := s.context()
	c.Kind = "access-token"
	return c
}

// readCache returns the cached access token, or nil if there is none that
// opens: a file that is gone, damaged or sealed under an older login's key costs
// one refresh. A file that others could have planted is an error.
func (s *Session) readCache(r *record) (*accessToken, error) {
	key, err := r.cacheKey()
	if err != nil {
		return nil, err
	}
	sealed, err := atomicfile.Read(s.cachePath(), maxCacheFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var token *accessToken
	if plain, err := key.Open(s.cacheContext(), sealed); err != nil || json.Unmarshal(plain, &token) != nil {
		return nil, nil //nolint:nilerr // a cache that does not open is no cache
	}
	return token, nil
}

func (s *Session) writeCache(r *record, token *accessToken) error {
	key, err := r.cacheKey()
	if err != nil {
		return err
	}
	plain, err := json.Marshal(token)
	if err != nil {
		return err
	}
	path := s.cachePath()
	if err := atomicfile.MkdirPrivate(filepath.Dir(path)); err != nil {
		return err
	}
	return atomicfile.Write(path, key.Seal(s.cacheContext(), plain))
}

func (s *Session) dropCache() error {
	err := os.Remove(s.cachePath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// defaultLifetime stands in where the server did not say how long an access
// token lives and a refresh token can replace it.
const defaultLifetime = 5 * time.Minute

// newAccessToken is what is kept of a token endpoint's answer.
func newAccessToken(t oauth.AccessToken, scope string, refreshable bool) *accessToken {
	expires := t.ExpiresAt
	if expires.IsZero() && refreshable {
		expires = t.IssuedAt.Add(defaultLifetime)
	}
	return &accessToken{
		Value:     sealedSecret{t.Value},
		Type:      t.Type,
		Scope:     scope,
		IssuedAt:  t.IssuedAt,
		ExpiresAt: expires,
	}
}

// outlives reports whether the token is good for minTTL more. A token without
// an expiry is good until a server refuses it.
func (t *accessToken) outlives(now time.Time, minTTL time.Duration) bool {
	return t.ExpiresAt.IsZero() || now.Add(minTTL).Before(t.ExpiresAt)
}

func (t *accessToken) lifetime() time.Duration { return t.ExpiresAt.Sub(t.IssuedAt) }
