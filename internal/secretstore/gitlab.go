package secretstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// gitlabPath rotates the token in the request, of any kind.
const gitlabPath = "/api/v4/personal_access_tokens/self/rotate"

// GitLab rotates an access token with the token itself. The old one is revoked when the
// response arrives. With a zero end, GitLab chooses a week.
func GitLab(ctx context.Context, hc *http.Client, base string, old secret.Secret, end time.Time) (minted Minted, expires time.Time, err error) {
	address := strings.TrimRight(base, "/") + gitlabPath
	if err := httpclient.CheckURL(address); err != nil {
		return minted, expires, fmt.Errorf("the address of GitLab: %w", err)
	}
	in := map[string]string{}
	if !end.IsZero() {
		in["expires_at"] = end.UTC().Format(time.DateOnly)
	}
	body, err := json.Marshal(in)
	if err != nil {
		return minted, expires, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return minted, expires, errors.New("the address of GitLab is invalid")
	}
	req.GetBody = nil // sent once: a second request would use a revoked token
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("PRIVATE-TOKEN", old.Reveal())
	resp, err := hc.Do(req)
	if err != nil {
		return minted, expires, classifyGitLabError(err)
	}
	defer resp.Body.Close()
	answer, readErr := io.ReadAll(resp.Body)
	return readGitLab(resp, answer, readErr, old)
}

// classifyGitLabError distinguishes a request that was not sent from one whose response was lost.
func classifyGitLabError(err error) error {
	var operation *net.OpError
	if errors.Is(err, httpclient.ErrRedirect) || errors.As(err, &operation) && operation.Op == "dial" {
		return httpclient.Classify(err)
	}
	return fmt.Errorf("%w: %w", ErrUnanswered, httpclient.Classify(err))
}

// readGitLab reads the new value from the response before anything else is checked.
func readGitLab(resp *http.Response, answer []byte, readErr error, old secret.Secret) (minted Minted, expires time.Time, err error) {
	var token struct {
		Token     string
		ExpiresAt string `json:"expires_at"`
		Message   any
		Error     any
	}
	parseErr := json.Unmarshal(answer, &token)
	expires, _ = time.Parse(time.DateOnly, token.ExpiresAt)
	minted = Minted{Value: secret.New(token.Token), OldEnded: true}
	switch status := resp.StatusCode; {
	case token.Token != "":
		return minted, expires, nil
	case status >= 200 && status <= 299, httpclient.IsTemporary(status) && status != http.StatusTooManyRequests:
		return minted, expires, fmt.Errorf("%w: GitLab answered %d without a token", ErrUnanswered, status)
	case readErr != nil || parseErr != nil:
		return minted, expires, fmt.Errorf("GitLab answered %d %s", status, http.StatusText(status))
	}
	text := fmt.Sprintf("GitLab answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	for _, found := range []any{token.Message, token.Error} {
		if line, isText := found.(string); isText && line != "" {
			text += ": " + sanitize.RedactLine(line, old.Reveal())
		}
	}
	return minted, expires, errors.New(text)
}
