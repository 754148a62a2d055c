package cmd

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"syscall"

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
	"github.com/fobcli/fob/internal/records"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/session"
)

func reportError(ctx context.Context, a *app.App, err error) int {
	if child, ok := errors.AsType[*cli.SilentStatus](err); ok {
		return child.Status
	}
	if found, ok := errors.AsType[*cli.FindingsError](err); ok && ctx.Err() == nil {
		a.Note("%s", found)
		return cli.ExitFindings
	}
	if ctx.Err() != nil {
		a.Note("interrupted")
	}
	for _, one := range cli.FailuresIn(err) {
		if ctx.Err() == nil || errors.Is(one, cli.ErrUnfinished) { // the state left by an interrupted command
			hint := a.Hint(one)
			if none, ok := errors.AsType[*config.SelectError](one); ok && len(none.Names) == 0 && records.WarnOfOrphans(ctx, a) {
				hint = "run 'fob doctor' to list what is stored"
			}
			a.ShowError(one, cmp.Or(records.HintUnknown(ctx, a, one), hint))
		}
	}
	if ctx.Err() != nil {
		return cli.ExitInterrupted
	}
	return exitOf(err)
}

// exitOf maps errors to exit statuses. The first match applies.
func exitOf(err error) int {
	if failed, ok := errors.AsType[*cli.StatusError](err); ok {
		return failed.Status
	}
	for _, row := range []struct {
		status    int
		sentinels []error
	}{
		{cli.ExitInterrupted, []error{context.Canceled}},
		{cli.ExitUnavailable, []error{apikey.ErrUnavailable}},
		{cli.ExitFailed, []error{keys.ErrNotDelivered, destination.ErrNotDelivered}}, // whatever the cause
		{cli.ExitLoginRequired, []error{session.ErrLoginRequired}},
		{cli.ExitLockTimeout, []error{filelock.ErrTimeout}},
		{cli.ExitStorage, []error{
			credstore.ErrNotFound, credstore.ErrAbsent, credstore.ErrLocked, credstore.ErrTimeout, credstore.ErrRefused, credstore.ErrUnusable,
			credstore.ErrCorrupt, credstore.ErrNotWritten, credstore.ErrTooLarge, credstore.ErrNoKey, credstore.ErrKeyMissing, credstore.ErrKeyDamaged,
			seal.ErrFormat, seal.ErrWrongKey, seal.ErrWrongContext, seal.ErrTampered, atomicfile.ErrUnsafe, filelock.ErrUnwritable, syscall.ENOSPC, syscall.EROFS,
		}},
		{cli.ExitUsage, []error{apikey.ErrInsecure, config.ErrShared, credstore.ErrSameKey}},
		{cli.ExitStorage, []error{apikey.ErrNoRegistry, apikey.ErrNewerSchema, apikey.ErrFull, apikey.ErrDamaged, apikey.ErrUnusable}},
		{cli.ExitLockTimeout, []error{apikey.ErrBusy}},
		{cli.ExitUsage, []error{session.ErrUnbound}},
		{cli.ExitUnavailable, []error{oauth.ErrUnavailable, context.DeadlineExceeded}},
		{cli.ExitUsage, []error{fs.ErrNotExist}}, // a file that the user named: fob's own have errors of their own
	} {
		if slices.ContainsFunc(row.sentinels, func(sentinel error) bool { return cli.Is(err, sentinel) }) {
			return row.status
		}
	}
	if failed, ok := errors.AsType[*app.AgentError](err); ok {
		return failed.Status
	}
	switch {
	case app.IsUsage(err):
		return cli.ExitUsage
	case errors.As(err, new(*apikey.RefusedError)):
		return cli.ExitRefused
	case errors.As(err, new(*cli.FindingsError)), errors.As(err, new(*apikey.TamperedError)):
		return cli.ExitFindings
	}
	return cli.ExitFailed
}
