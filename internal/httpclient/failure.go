package httpclient

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/fobcli/fob/internal/sanitize"
)

// Why a request failed, as Judge tells.
var (
	// ErrUnavailable is a network or server failure: another try may succeed.
	ErrUnavailable = errors.New("the server is unavailable")
	// ErrMalformed is an answer that the standards do not allow.
	ErrMalformed = errors.New("the server's answer is malformed")
)

// Classify marks errors that another try may fix, which are all but fob's own refusals.
func Classify(err error) error {
	var status *StatusError
	switch {
	case errors.As(err, &status) && !IsTemporary(status.Status),
		errors.Is(err, ErrTooLarge), errors.Is(err, ErrRedirect), errors.Is(err, context.Canceled):
		return err
	}
	var network *url.Error
	if errors.As(err, &network) || status != nil {
		return fmt.Errorf("%w: %s", ErrUnavailable, inertText(err))
	}
	return fmt.Errorf("%w: %s", ErrMalformed, inertText(err))
}

// inertText returns the message of an error without the request's URL, which may have secret
// parameters, and with the server's words made inert.
func inertText(err error) string {
	if network, ok := errors.AsType[*url.Error](err); ok {
		err = network.Err
	}
	return sanitize.Line(err.Error())
}
