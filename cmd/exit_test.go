package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fobcli/fob/cmd/internal/hint"
	"github.com/fobcli/fob/internal/agent"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/destination"
	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/secretstore"
	"github.com/fobcli/fob/internal/session"
)

func TestExitOf(t *testing.T) {
	errOther := errors.New("another error")
	for status, errs := range map[int][]error{
		cli.ExitFailed: {
			errOther, keys.ErrNotDelivered, destination.ErrNotDelivered, cli.WithStatus(session.ErrLoginRequired, cli.ExitFailed),
			fmt.Errorf("%w: %w", keys.ErrNotDelivered, oauth.ErrUnavailable), // not delivered, whatever the cause
		},
		cli.ExitUsage: {
			cli.Usagef("wrong"), &config.ParseError{}, &config.SelectError{}, &config.StorageError{}, &config.TrustError{}, &credstore.KeyError{},
			&atomicfile.OthersError{}, config.ErrEditByHand, config.ErrShared, credstore.ErrSameKey, secretstore.ErrValue, apikey.ErrInsecure, session.ErrUnbound,
		},
		cli.ExitFindings:      {cli.Findings("found"), &apikey.TamperedError{}},
		cli.ExitLoginRequired: {session.ErrLoginRequired, cli.ForLogin(session.ErrLoginRequired, "work"), app.NewAgentError(&agent.Failure{Status: cli.ExitLoginRequired})},
		cli.ExitUnavailable:   {oauth.ErrUnavailable, apikey.ErrUnavailable, context.DeadlineExceeded},
		cli.ExitStorage: {
			credstore.ErrNotFound, credstore.ErrAbsent, credstore.ErrLocked, credstore.ErrTimeout, credstore.ErrRefused, credstore.ErrUnusable, credstore.ErrCorrupt, credstore.ErrKeyMissing, credstore.ErrKeyDamaged,
			credstore.ErrNotWritten, credstore.ErrTooLarge, credstore.ErrNoKey, seal.ErrFormat, seal.ErrWrongKey, seal.ErrWrongContext, seal.ErrTampered,
			atomicfile.ErrUnsafe, apikey.ErrNoRegistry, apikey.ErrNewerSchema, apikey.ErrFull, apikey.ErrDamaged, apikey.ErrUnusable,
			app.NewAgentError(&agent.Failure{Status: cli.ExitStorage}),
		},
		cli.ExitLockTimeout: {filelock.ErrTimeout, apikey.ErrBusy, app.NewAgentError(&agent.Failure{Status: cli.ExitLockTimeout})},
		cli.ExitRefused:     {&apikey.RefusedError{Reason: apikey.Unknown}, app.NewAgentError(&agent.Failure{Status: cli.ExitRefused})},
		cli.ExitInterrupted: {context.Canceled, fmt.Errorf("%w: %w", session.ErrLoginRequired, context.Canceled)},
		125:                 {cli.WithStatus(errOther, 125)},
	} {
		for _, err := range errs {
			wrapped := fmt.Errorf("doing it: %w", cli.WithHint(cli.ForProfile(err, "work"), "do that"))
			if got := exitOf(wrapped); got != status {
				t.Errorf("%T %v: %d, want %d", err, err, got, status)
			}
		}
	}
}

func TestReportError(t *testing.T) {
	first := cli.WithHint(errors.New("the first"), "do this")
	unfinished := cli.Unfinishedf("2 keys are not rotated")
	for name, test := range map[string]struct {
		err         error
		interrupted bool
		status      int
		stderr      string
	}{
		"a child's status":                 {cli.Silent(42), false, 42, ""},
		"one":                              {first, false, cli.ExitFailed, "error: the first\nhint: do this\n"},
		"several":                          {cli.Failures{first, session.ErrLoginRequired}, false, cli.ExitLoginRequired, "error: the first\nhint: do this\nerror: " + session.ErrLoginRequired.Error() + "\nhint: run 'fob login'\n"},
		"findings":                         {cli.Findings("3 keys found"), false, cli.ExitFindings, "3 keys found\n"},
		"interrupted":                      {first, true, cli.ExitInterrupted, "interrupted\n"},
		"interrupted, with something left": {cli.Failures{first, unfinished}, true, cli.ExitInterrupted, "interrupted\nerror: 2 keys are not rotated\n"},
	} {
		var stdout, stderr bytes.Buffer
		a := app.New(strings.NewReader(""), &stdout, &stderr, nil)
		a.Hint = hint.Of
		ctx, cancel := context.WithCancel(t.Context())
		if test.interrupted {
			cancel()
		}
		if got := reportError(ctx, a, test.err); got != test.status || stderr.String() != test.stderr || stdout.Len() > 0 {
			t.Errorf("%s: %d, %q, %q", name, got, stdout.String(), stderr.String())
		}
		cancel()
	}
}
