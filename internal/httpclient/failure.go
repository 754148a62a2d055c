package httpclient

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"

	"github.com/fobcli/fob/internal/sanitize"
)

// Why a request failed; see Classify.
var (
	// ErrUnavailable is a network or server failure that may be temporary.
	ErrUnavailable = errors.New("the server is unavailable")
	// ErrUnreachable is the ErrUnavailable of a request that was never sent.
	ErrUnreachable = fmt.Errorf("%w", ErrUnavailable)
	// ErrMalformed is a response that violates the standards.
	ErrMalformed = errors.New("the server's answer is malformed")
	// ErrNotJSON is the ErrMalformed of a page, or of JSON of the wrong types.
	ErrNotJSON = errors.New("did not answer with the JSON that was asked for")
)

// Classify marks errors as ErrUnavailable if a retry may help, which are all except fob's
// own refusals.
func Classify(err error) error {
	var status *StatusError
	switch {
	case errors.As(err, &status) && !IsTemporary(status.Status),
		errors.Is(err, ErrTooLarge), errors.Is(err, ErrRedirect), errors.Is(err, context.Canceled):
		return err
	}
	if errors.Is(err, ErrNotJSON) {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	var network *url.Error
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
		return fmt.Errorf("%w: %s", ErrUnreachable, inertText(err))
	}
	if errors.As(err, &network) || status != nil {
		return fmt.Errorf("%w: %s", ErrUnavailable, inertText(err))
	}
	return fmt.Errorf("%w: %s", ErrMalformed, inertText(err))
}

// inertText returns an error's message without the request's URL, which may contain
// secrets, and with the server's text sanitized.
func inertText(err error) string {
	if network, ok := errors.AsType[*url.Error](err); ok {
		err = network.Err
	}
	return sanitize.Line(err.Error())
}
