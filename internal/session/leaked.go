package session

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/secret"
)

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
