package cmd

import (
	"errors"
	"net/http"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/destination"
	"github.com/fobcli/fob/internal/httpclient"
)

// hintOfDelivery says what to do about a platform that did not take a value.
func hintOfDelivery(err error) string {
	var answer *destination.AnswerError
	var command *destination.CommandError
	var setup *destination.SetupError
	switch {
	case errors.As(err, &setup):
		return setup.Hint
	case errors.Is(err, destination.ErrNoCredential):
		return "log in there and give --as PROFILE, or set the variable; 'as' under [destination] in the configuration does it for good"
	case errors.Is(err, destination.ErrValue):
		return "nothing was delivered anywhere; choose another destination, or a value that it takes"
	case errors.As(err, &command):
		return "run the command by hand: the value comes on its stdin; it stands under [commands] in the configuration"
	case errors.As(err, &answer):
		return hintOfAnswer(answer)
	case errors.Is(err, destination.ErrNotDelivered) && (errors.Is(err, httpclient.ErrMalformed) || errors.Is(err, httpclient.ErrRedirect)):
		return "see the platform's address: something else answers there, such as a login or a proxy in between"
	}
	return ""
}

func hintOfAnswer(answer *destination.AnswerError) string {
	switch answer.Status {
	case http.StatusForbidden, http.StatusTooManyRequests:
		if answer.RetryAfter > 0 {
			return "the platform wants a pause: try again in " + cli.Roughly(answer.RetryAfter)
		}
	}
	switch answer.Status {
	case http.StatusUnauthorized:
		return "the platform does not know the credential: give another with --as, or log in again"
	case http.StatusForbidden:
		return "the credential may not write there: ask for the permission or the scope that it lacks"
	case http.StatusNotFound:
		return "see the destination's name; many platforms answer so, too, where the credential may not look"
	case http.StatusConflict, http.StatusPreconditionFailed:
		return "somebody else writes there: try again"
	case http.StatusTooManyRequests:
		return "the platform wants a pause: try again later"
	}
	if answer.Status >= http.StatusInternalServerError {
		return "the platform is not well: try again later"
	}
	return "mend what the platform names, or choose another destination; nothing was changed there"
}
