package ci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// The variables by which GitHub Actions lets a job ask for its identity token. They
// are there only where the job's permissions say "id-token: write".
const (
	requestURL   = "ACTIONS_ID_TOKEN_REQUEST_URL"
	requestToken = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
)

// askGitHub makes the one request for the job's identity token.
func (m Machine) askGitHub(ctx context.Context, audience string) (secret.Secret, error) {
	where, given := m.Getenv(requestURL), m.Getenv(requestToken)
	if where == "" || given == "" {
		return secret.Secret{}, fmt.Errorf("%w: %s and %s are not set", ErrNotPermitted, requestURL, requestToken)
	}
	u, err := url.Parse(where)
	if err != nil || httpclient.CheckURL(where) != nil { // whose error would show it
		return secret.Secret{}, fmt.Errorf("%s is not an https URL", requestURL)
	}
	if audience != "" {
		u.RawQuery = strings.TrimPrefix(u.RawQuery+"&audience="+url.QueryEscape(audience), "&")
	}
	bearer, err := parseToken([]byte(given), "the variable "+requestToken)
	if err != nil {
		return secret.Secret{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return secret.Secret{}, fmt.Errorf("%s is not a URL", requestURL)
	}
	req.Header.Set("Authorization", "bearer "+bearer.Reveal())
	var answer struct {
		Value string `json:"value"`
	}
	if err := httpclient.DoJSON(m.HTTP, req, &answer); err != nil {
		return secret.Secret{}, fmt.Errorf("asking GitHub for the job's identity token: %w", requestError(err))
	}
	return parseToken([]byte(answer.Value), "the answer of "+sanitize.Line(u.Host))
}

// requestError tells what another try may mend from an answer that holds no token. The
// request's URL, which names the job, is dropped.
func requestError(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var status *httpclient.StatusError
	var network net.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, httpclient.ErrRedirect), errors.Is(err, httpclient.ErrTooLarge),
		errors.As(err, &status) && !httpclient.IsTemporary(status.Status):
		return err
	case wrapped != nil, status != nil, errors.As(err, &network), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %s", ErrUnavailable, sanitize.Line(err.Error()))
	}
	return fmt.Errorf("%w: %s", ErrMalformed, sanitize.Line(err.Error()))
}
