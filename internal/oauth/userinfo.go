package oauth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/secret"
)

// Userinfo identifies an account (OIDC Core §5.3). All of it is text from the server.
type Userinfo struct {
	Subject           string `json:"sub"`
	Name              string `json:"name"`
	PreferredUsername string `json:"preferred_username"`
	Email             string `json:"email"`
	Login             string `json:"login"` // GitHub's name for preferred_username

	// The sub of servers without OpenID Connect. A name would not do, because it can be
	// reassigned.
	ID        identifier `json:"id"`
	AccountID identifier `json:"account_id"`
	UUID      identifier `json:"uuid"`
}

// identifier is a string or a number, without its rounding; anything else is ignored.
type identifier string

func (i *identifier) UnmarshalJSON(text []byte) error {
	if text[0] == '"' {
		return json.Unmarshal(text, (*string)(i))
	}
	if text[0] == '-' || text[0] >= '0' && text[0] <= '9' {
		*i = identifier(text)
	}
	return nil
}

// Userinfo returns the account of an access token. A response about another subject than
// the given one is ErrWrongSubject; an empty subject matches any. ErrTokenRefused: the
// server refused the token.
func (c *Client) Userinfo(ctx context.Context, accessToken secret.Secret, subject string) (*Userinfo, error) {
	var info Userinfo
	err := c.getWithToken(ctx, c.Metadata.UserinfoEndpoint, accessToken, &info)
	switch status, ok := errors.AsType[*httpclient.StatusError](err); {
	case ok && status.Status == http.StatusUnauthorized:
		return nil, fmt.Errorf("%w by the userinfo endpoint", ErrTokenRefused)
	case err != nil:
		return nil, err
	case subject != "" && info.Subject != subject:
		return nil, ErrWrongSubject
	}
	info.PreferredUsername = cmp.Or(info.PreferredUsername, info.Login)
	info.Subject = cmp.Or(info.Subject, string(cmp.Or(info.ID, info.AccountID, info.UUID)), info.Login)
	return &info, nil
}

// getWithToken reads a resource's JSON with an access token. If the server requires its
// nonce in the DPoP proof, it tries again (RFC 9449 §9).
func (c *Client) getWithToken(ctx context.Context, endpoint string, accessToken secret.Secret, v any) error {
	nonce := ""
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, nil)
		if err != nil {
			return fmt.Errorf("%w: the endpoint is not a URL", ErrMalformed)
		}
		if err := c.present(req, accessToken, nonce); err != nil {
			return err
		}
		err = httpclient.DoJSON(c.HTTP, req, v)
		var status *httpclient.StatusError
		if !errors.As(err, &status) || status.Status != http.StatusUnauthorized || nonce != "" {
			return err
		}
		if nonce = status.Header.Get("DPoP-Nonce"); nonce == "" || c.DPoPKey.IsZero() {
			return err
		}
	}
}

// present adds an access token to a request: as a bearer token (RFC 6750 §2.1), or with a
// DPoP proof.
func (c *Client) present(req *http.Request, accessToken secret.Secret, nonce string) error {
	if c.DPoPKey.IsZero() {
		req.Header.Set("Authorization", TypeBearer+" "+accessToken.Reveal())
		return nil
	}
	proof, err := c.Proof(req.Method, req.URL.String(), nonce, accessToken)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", TypeDPoP+" "+accessToken.Reveal())
	req.Header.Set("DPoP", proof)
	return nil
}
