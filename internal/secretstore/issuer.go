package secretstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// GitLabIssuer is the issuer that fob can ask for a new value without a command.
const GitLabIssuer = "gitlab"

// Issuer gets new values of a secret, and revokes old ones.
type Issuer struct {
	RotateWith string    // the command that prints a new value, or GitLabIssuer; empty: the user gives the value
	RetireWith string    // the command that revokes the old value; empty: the user does
	Expires    time.Time // of the new value: as asked for, then as GitLab has set it
	OldEnded   bool      // the issuer has revoked the old value

	// Run runs a command with a value on its stdin, and returns its output.
	Run func(ctx context.Context, command string, stdin secret.Secret) ([]byte, error)
	// HTTP makes the client for GitLab, at GitLabURL.
	HTTP      func() (*http.Client, error)
	GitLabURL string
}

// OutputError is a command that printed something other than a new value.
type OutputError struct {
	Command string
	Err     error
}

func (e *OutputError) Error() string { return fmt.Sprintf("what %s printed: %s", e.Command, e.Err) }

func (e *OutputError) Unwrap() error { return e.Err }

// Steps returns the steps of a rotation up to the delivery, which is the caller's.
func (i *Issuer) Steps() Steps {
	steps := Steps{Asks: i.RotateWith != ""}
	switch i.RotateWith {
	case "":
	case GitLabIssuer:
		steps.Mint = i.mintAtGitLab
	default:
		steps.Mint = i.mintWithCommand
	}
	if i.RetireWith != "" {
		steps.Retire = func(ctx context.Context, old secret.Secret) error {
			_, err := i.Run(ctx, i.RetireWith, old)
			return err
		}
	}
	return steps
}

// mintWithCommand gets the new value from a command, which does not see the old one.
func (i *Issuer) mintWithCommand(ctx context.Context, _ secret.Secret) (Minted, error) {
	out, err := i.Run(ctx, i.RotateWith, secret.Secret{})
	if ctx.Err() != nil {
		return Minted{}, errors.Join(ErrUnanswered, ctx.Err())
	}
	if err != nil {
		return Minted{}, err
	}
	value := secret.New(strings.TrimSuffix(strings.TrimSuffix(string(out), "\n"), "\r"))
	if err := CheckValue(value); err != nil {
		return Minted{}, &OutputError{i.RotateWith, err}
	}
	return Minted{Value: value}, nil
}

// mintAtGitLab lets a GitLab access token replace itself.
func (i *Issuer) mintAtGitLab(ctx context.Context, old secret.Secret) (Minted, error) {
	hc, err := i.HTTP()
	if err != nil {
		return Minted{}, err
	}
	minted, expires, err := GitLab(ctx, hc, i.GitLabURL, old, i.Expires)
	if err == nil {
		i.OldEnded, i.Expires = true, expires
	}
	return minted, err
}

// gitlabPath rotates the token that authenticates the request, whatever its kind.
const gitlabPath = "/api/v4/personal_access_tokens/self/rotate"

// GitLab rotates an access token, authenticated with the token itself. The old one is revoked
// when the response arrives. Without an end, GitLab chooses a week.
func GitLab(ctx context.Context, hc *http.Client, base string, old secret.Secret, end time.Time) (minted Minted, expires time.Time, err error) {
	address := strings.TrimRight(base, "/") + gitlabPath
	if err := httpclient.CheckURL(address); err != nil {
		return minted, expires, fmt.Errorf("the address of GitLab: %w", err)
	}
	in := map[string]string{}
	if !end.IsZero() {
		in["expires_at"] = end.UTC().Format(time.DateOnly)
	}
	body, _ := json.Marshal(in) // cannot fail for texts
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return minted, expires, errors.New("the address of GitLab is invalid")
	}
	req.GetBody = nil // sent once: a second request would use a revoked token
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("PRIVATE-TOKEN", old.Reveal())
	resp, err := httpclient.Do(hc, req)
	switch {
	case errors.Is(err, httpclient.ErrRedirect), errors.Is(err, httpclient.ErrUnreachable): // it was not sent
		return minted, expires, err
	case err != nil:
		return minted, expires, fmt.Errorf("%w: %w", ErrUnanswered, err)
	}
	return readGitLab(resp, old)
}

// readGitLab reads the new value from the response before anything else is checked.
func readGitLab(resp *httpclient.Response, old secret.Secret) (minted Minted, expires time.Time, err error) {
	var token struct {
		Token     string
		ExpiresAt string `json:"expires_at"`
		Message   any
		Error     any
	}
	_ = json.Unmarshal(resp.Body, &token)
	expires, _ = time.Parse(time.DateOnly, token.ExpiresAt)
	minted = Minted{Value: secret.New(token.Token), OldEnded: true}
	text := fmt.Sprintf("GitLab answered %d %s", resp.Status, http.StatusText(resp.Status))
	switch status := resp.Status; {
	case token.Token != "":
		return minted, expires, nil
	case status >= 200 && status <= 299, httpclient.IsTemporary(status) && status != http.StatusTooManyRequests:
		return minted, expires, fmt.Errorf("%w: GitLab answered %d without a token", ErrUnanswered, status)
	}
	for _, found := range []any{token.Message, token.Error} {
		if line, isText := found.(string); isText && line != "" {
			text += ": " + sanitize.RedactLine(line, old.Reveal())
		}
	}
	return minted, expires, errors.New(text)
}
