package secretstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

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
