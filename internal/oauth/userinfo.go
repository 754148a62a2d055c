package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/secret"
)

// Userinfo names an account (OIDC Core §5.3). All of it is the server's text.
type Userinfo struct {
	Subject           string `json:"sub"`
	Name              string `json:"name"`
	PreferredUsername string `json:"preferred_username"`
	Email             string `json:"email"`
	Login             string `json:"login"` // GitHub's name for preferred_username
}

// Userinfo asks whose access token this is. An answer about another subject than
// the given one is ErrWrongSubject; an empty subject matches any. ErrTokenRefused:
// the token is not good there.
func (c *Client) Userinfo(ctx context.Context, accessToken secret.Secret, subject string) (*Userinfo, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Metadata.UserinfoEndpoint, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: the userinfo endpoint is no URL", ErrMalformed)
	}
	req.Header.Set("Authorization", "Bearer "+accessToken.Reveal())
	var info Userinfo
	if err := httpclient.DoJSON(c.HTTP, req, &info); err != nil {
		var status *httpclient.StatusError
		if errors.As(err, &status) && status.Status == http.StatusUnauthorized {
			return nil, fmt.Errorf("%w by the userinfo endpoint", ErrTokenRefused)
		}
		return nil, unavailable(err)
	}
	if subject != "" && info.Subject != subject {
		return nil, ErrWrongSubject
	}
	if info.PreferredUsername == "" {
		info.PreferredUsername = info.Login
	}
	return &info, nil
}
