package cmd

import (
	"context"
	"errors"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
)

// reportError prints an error and its hint, and returns the exit status.
func reportError(ctx context.Context, a *app.App, err error) int {
	if child, ok := errors.AsType[*cli.SilentStatus](err); ok {
		return child.Status
	}
	var several cli.Failures
	if !errors.As(err, &several) {
		several = cli.Failures{err}
	}
	if ctx.Err() != nil {
		a.Note("interrupted")
		for _, one := range several {
			if errors.Is(one, cli.ErrUnfinished) { // what the interrupted command leaves behind
				a.ShowError(one, a.Hint(one))
			}
		}
		return cli.ExitInterrupted
	}
	if found, ok := errors.AsType[*cli.FindingsError](err); ok {
		a.Note("%s", found)
		return cli.ExitFindings
	}
	for _, one := range several {
		a.ShowError(one, a.Hint(one))
	}
	return exitOf(err)
}
