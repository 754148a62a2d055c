package session

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/idtoken"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/secret"
)

// maxCacheFile limits what is read; a token endpoint's response is under 1 MiB.
const maxCacheFile = 2 << 20

// cacheFile is a private file next to a login's record, sealed under the cache key in it: a
// cached token, or the journal of a refresh.
type cacheFile struct {
	path    string
	context seal.Context
}

// cache is the file of a login's access token for a target. It can be deleted at any time.
func (s *Session) cache(t Target) cacheFile {
	c := s.cacheFile(s.Paths.Cache, "tokens", "access-token")
	if t != (Target{}) {
		return c.variant(t.Scope + "\n" + t.Resource)
	}
	return c
}

// variant returns a second file next to this one, named by a hash of what.
func (f cacheFile) variant(what string) cacheFile {
	sum := sha256.Sum256([]byte(what))
	suffix := fmt.Sprintf(".%x", sum[:targetLength])
	f.path += suffix
	f.context.Kind += suffix
	return f
}

// RemoveFiles deletes the files next to the records of all profiles. Folders with other
// files stay.
func RemoveFiles(paths config.Paths) error {
	err := errors.Join(os.RemoveAll(filepath.Join(paths.Cache, "tokens")), os.RemoveAll(filepath.Join(paths.Data, "journal")))
	_ = os.Remove(paths.Cache) // only if it is empty
	return err
}

// targetLength is how many bytes of a hash distinguish the targets of one login.
const targetLength = 16

// caches returns the cached tokens of all targets. No profile's name has a dot.
func (s *Session) caches() ([]cacheFile, error) {
	usual := s.cache(Target{})
	all := []cacheFile{usual}
	entries, err := os.ReadDir(filepath.Dir(usual.path))
	if isMissing(err) {
		err = nil
	}
	for _, entry := range entries {
		if hash, found := strings.CutPrefix(entry.Name(), s.Profile.Name+"."); found {
			c := usual
			c.path += "." + hash
			c.context.Kind += "." + hash
			all = append(all, c)
		}
	}
	return all, err
}

// dropCaches deletes the cached tokens of all targets.
func (s *Session) dropCaches() error {
	all, err := s.caches()
	for _, c := range all {
		err = errors.Join(err, c.drop())
	}
	return err
}

// dropFiles deletes all files next to the login's record.
func (s *Session) dropFiles() error { return errors.Join(s.dropCaches(), s.journal().drop()) }

// journal is the write-ahead file of a refresh (see journal.go).
func (s *Session) journal() cacheFile {
	return s.cacheFile(s.Paths.Data, "journal", "journal")
}

func (s *Session) cacheFile(dir, folder, kind string) cacheFile {
	c := s.context()
	c.Kind = kind
	return cacheFile{filepath.Join(dir, folder, s.Profile.Name), c}
}

// read returns the file's sealed content. The errors are those of atomicfile.Read.
func (f cacheFile) read() ([]byte, error) { return atomicfile.Read(f.path, maxCacheFile) }

// open reads sealed content into v. The errors are those of package seal.
func (f cacheFile) open(h head, content []byte, v any) error {
	key, err := h.cacheKey()
	if err != nil {
		return err
	}
	plain, err := key.Open(f.context, content)
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, v)
}

func (f cacheFile) seal(h head, v any) error {
	key, err := h.cacheKey()
	if err != nil {
		return err
	}
	plain, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return f.write(key.Seal(f.context, plain))
}

func (f cacheFile) write(content []byte) error {
	if err := atomicfile.MkdirPrivate(filepath.Dir(f.path)); err != nil {
		return err
	}
	return atomicfile.Write(f.path, content)
}

func (f cacheFile) drop() error {
	if err := os.Remove(f.path); !isMissing(err) {
		return err
	}
	return nil
}

// isMissing reports that there is no file, also because its folder is a file (HOME=/dev/null).
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// readToken returns the token in a file, or nil if the file is missing, damaged or sealed
// under an older login's key, which costs one request. A file that other users could have
// written is an error.
func (f cacheFile) readToken(h head) (*accessToken, error) {
	content, err := f.read()
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var token accessToken
	if err := f.open(h, content, &token); err != nil {
		return nil, nil //nolint:nilerr // a cache that does not open is no cache
	}
	return &token, nil
}

// defaultLifetime is assumed for an access token without an expiry that can be refreshed.
const defaultLifetime = 5 * time.Minute

// accept checks the access token in a response, for any grant. One with more scopes than
// the target is oauth.ErrUnsupported. If neither the server nor the target names scopes,
// they are those of usual (RFC 6749 §5.1).
func (s *Session) accept(response *oauth.TokenResponse, t Target, usual string, refreshable bool) (*accessToken, error) {
	access, err := response.AccessToken()
	if err != nil {
		return nil, err
	}
	scope := cmp.Or(response.Scope(), t.Scope, usual)
	if t.Scope != "" && NewTarget([]string{scope, t.Scope}, "").Scope != t.Scope {
		return nil, fmt.Errorf("%w: it granted more scopes than were requested", oauth.ErrUnsupported)
	}
	return s.newAccessToken(access, scope, refreshable), nil
}

func (s *Session) newAccessToken(t oauth.AccessToken, scope string, refreshable bool) *accessToken {
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
		Uptime:    s.Clock.Uptime(),
	}
}

func (t *accessToken) withIDToken(raw string, checked *idtoken.Token) {
	if checked != nil {
		t.IDToken, t.IDTokenExpiresAt = sealedSecret{secret.New(raw)}, checked.ExpiresAt
	}
}

// forIDToken returns the token with the id_token's expiry, for a caller that needs the
// id_token.
func (t *accessToken) forIDToken() *accessToken {
	if t.IDToken.IsZero() {
		return nil
	}
	id := *t
	id.ExpiresAt = t.IDTokenExpiresAt
	return &id
}

// outlives reports whether the token is valid for another minTTL. One without an expiry is
// valid until a server refuses it.
func (t *accessToken) outlives(c Clock, minTTL time.Duration) bool {
	if t.ExpiresAt.IsZero() {
		return true
	}
	age, known := c.since(t.IssuedAt, t.Uptime)
	return known && t.IssuedAt.Add(age).Add(minTTL).Before(t.ExpiresAt) // sums of durations overflow
}

// end returns when the token expires, by this machine's clock as it is now: the stored expiry
// is a year late if the clock was a year ahead when the token was issued.
func (t *accessToken) end(c Clock) time.Time {
	age, known := c.since(t.IssuedAt, t.Uptime)
	if back := age - c.Now().Sub(t.IssuedAt); known && back > clockTolerance && !t.ExpiresAt.IsZero() {
		return t.ExpiresAt.Add(-back)
	}
	return t.ExpiresAt
}

func (t *accessToken) lifetime() time.Duration { return t.ExpiresAt.Sub(t.IssuedAt) }

// DropToken deletes the cached access token if it is the refused one, or refused is zero, so
// that the next call refreshes. The token of a login that cannot refresh stays: if that was
// refused, the error is ErrLoginRequired.
func (s *Session) DropToken(ctx context.Context, refused secret.Secret) error {
	h, stored, err := s.peek(ctx)
	if err != nil {
		return err
	}
	if !h.Refreshes {
		r, err := s.whole(ctx, stored)
		if err == nil && r.AccessToken != nil && r.AccessToken.Value.Secret == refused {
			err = fmt.Errorf("the access token of profile %q was refused, and the server gave no refresh token%.0w", s.Profile.Name, ErrLoginRequired)
		}
		return err
	}
	return s.Entry().Locked(ctx, func() error {
		cached, err := s.cache(Target{}).readToken(h)
		if err != nil || cached == nil || !refused.IsZero() && cached.Value.Secret != refused {
			return err
		}
		return s.cache(Target{}).drop()
	})
}

// Role is what another service grants for a token of the login, such as an AWS role. Its
// credentials are cached next to the login's tokens, and expire with the login.
type Role struct {
	Key          string        // distinguishes roles
	MinTTL       time.Duration // minimum remaining validity
	ForceRefresh bool
	Fetch        func(ctx context.Context) (credentials secret.Secret, expires time.Time, err error)
}

// RoleCredentials returns the cached credentials if they are still valid, else new ones. If
// several processes of this login need them at once, Fetch is called once.
func (s *Session) RoleCredentials(ctx context.Context, r Role) (secret.Secret, error) {
	if value, err := s.cachedRole(ctx, r); err != nil || !value.IsZero() {
		return value, err
	}
	// A separate lock: Fetch takes the login's lock for its token.
	lock, err := filelock.Acquire(ctx, filepath.Join(s.Paths.Data, "locks", s.Profile.Name+".kept.lock"), lockWait)
	if err != nil {
		return secret.Secret{}, err
	}
	defer lock.Release()
	if value, err := s.cachedRole(ctx, r); err != nil || !value.IsZero() {
		return value, err
	}
	value, expires, err := r.Fetch(ctx)
	if err != nil {
		return secret.Secret{}, err
	}
	h, _, err := s.peek(ctx) // a new login may have come in between
	if err == nil {
		err = s.roleFile(r).seal(h, &accessToken{Value: sealedSecret{value}, IssuedAt: s.Clock.Now(), ExpiresAt: expires, Uptime: s.Clock.Uptime()})
	}
	if err != nil {
		s.Warn(fmt.Sprintf("the credentials could not be cached, the next call requests them again: %v", err))
	}
	return value, nil
}

func (s *Session) roleFile(r Role) cacheFile {
	return s.cacheFile(s.Paths.Cache, "tokens", "kept").variant("kept\n" + r.Key)
}

// cachedRole returns the zero Secret if no valid credentials are cached.
func (s *Session) cachedRole(ctx context.Context, r Role) (secret.Secret, error) {
	h, _, err := s.peek(ctx)
	if err == nil {
		err = s.ended(h, TokenOptions{})
	}
	if err != nil || r.ForceRefresh {
		return secret.Secret{}, err
	}
	cached, err := s.roleFile(r).readToken(h)
	if err != nil || cached == nil || !cached.outlives(s.Clock, r.MinTTL) {
		return secret.Secret{}, err
	}
	return cached.Value.Secret, nil
}
