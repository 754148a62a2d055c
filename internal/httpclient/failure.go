package httpclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"

	"github.com/fobcli/fob/internal/sanitize"
)

// Why a request failed.
var (
	// ErrUnavailable is a network or server failure that may be temporary.
	ErrUnavailable = errors.New("the server is unavailable")
	// ErrUnreachable is the ErrUnavailable of a request that was never sent.
	ErrUnreachable error = unreachable{}
	// ErrMalformed is a response that violates the standards.
	ErrMalformed = errors.New("the server's answer is malformed")
	// ErrNotJSON is the ErrMalformed of a page, or of JSON of the wrong types.
	ErrNotJSON = errors.New("did not answer with the JSON that was asked for")
)

type unreachable struct{}

func (unreachable) Error() string { return ErrUnavailable.Error() }
func (unreachable) Unwrap() error { return ErrUnavailable }

// classify marks errors of an exchange as ErrUnavailable, because a retry may help, except
// fob's own refusals.
func classify(err error) error {
	err = withoutURL(err)
	unavailable := ErrUnavailable
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
		unavailable = ErrUnreachable
	}
	if errors.Is(err, ErrTooLarge) || errors.Is(err, ErrRedirect) || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w: %s", unavailable, sanitize.Line(err.Error()))
}

// withoutURL removes the request's URL, which may contain secrets, from an error.
func withoutURL(err error) error {
	if network, ok := errors.AsType[*url.Error](err); ok {
		return network.Err
	}
	return err
}
