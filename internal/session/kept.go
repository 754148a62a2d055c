package session

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/secret"
)

// Kept is what another service gives for a token of the login: for what, and how it is
// asked. It lies sealed beside the cached tokens, and ends with them.
type Kept struct {
	What string        // in any words that tell it from others
	Left time.Duration // for how long it must still be good
	New  bool          // ask, whatever there is
	Get  func(ctx context.Context) (value secret.Secret, end time.Time, err error)
}

// Kept returns what is kept, if it will do, else what the service gives now. However many
// processes of this login ask at once, the service is asked once.
func (s *Session) Kept(ctx context.Context, k Kept) (secret.Secret, error) {
	if value, err := s.readKept(ctx, k); err != nil || !value.IsZero() {
		return value, err
	}
	// Not the login's lock: Get takes that for its token.
	lock, err := filelock.Acquire(ctx, filepath.Join(s.Paths.Data, "locks", s.Profile.Name+".kept.lock"), lockWait)
	if err != nil {
		return secret.Secret{}, err
	}
	defer lock.Release()
	if value, err := s.readKept(ctx, k); err != nil || !value.IsZero() {
		return value, err
	}
	value, end, err := k.Get(ctx)
	if err != nil {
		return secret.Secret{}, err
	}
	if err := s.writeKept(ctx, k.What, value, end); err != nil {
		s.Warn(fmt.Sprintf("what came could not be kept, the next call asks again: %v", err))
	}
	return value, nil
}

func (s *Session) keptFile(what string) sidecar {
	return s.sidecar(s.Paths.Cache, "tokens", "kept").apart("kept\n" + what)
}

// readKept is the zero Secret where nothing is kept that will do.
func (s *Session) readKept(ctx context.Context, k Kept) (secret.Secret, error) {
	h, _, err := s.peek(ctx)
	if err == nil {
		err = s.ended(h, TokenOptions{})
	}
	if err != nil || k.New {
		return secret.Secret{}, err
	}
	kept, err := s.keptFile(k.What).readToken(h)
	if err != nil || kept == nil || !kept.outlives(s.Clock, k.Left) {
		return secret.Secret{}, err
	}
	return kept.Value.Secret, nil
}

func (s *Session) writeKept(ctx context.Context, what string, value secret.Secret, end time.Time) error {
	h, _, err := s.peek(ctx) // a new login may have come in between
	if err != nil {
		return err
	}
	return s.keptFile(what).seal(h, &accessToken{
		Value: sealedSecret{value}, IssuedAt: s.Clock.Now(), ExpiresAt: end, Uptime: s.Clock.Uptime(),
	})
}
