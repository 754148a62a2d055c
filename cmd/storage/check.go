package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/records"
)

// tempFileAge is the age at which no process can still be writing a temp file.
const tempFileAge = time.Minute

type checkOptions struct {
	DryRun bool `flag:"dry-run" help:"report, and repair nothing"`
}

func newCheck(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "check [PROFILE|secret/NAME...]",
		Short: "Open every record and clean up after crashes",
		Long: `Open the whole record of each login and secret (default: all, and the peppers of API
keys) and report damage.

What a crash left is repaired without loss: a token that was not saved, an interrupted
change of the key or move to another storage, unused pieces of records, temp files.`,
		Example: `  fob storage check
  fob storage check work --dry-run`,
		Args: usage.RecordArgs,
	}, checkOptions{}, runCheck, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func runCheck(ctx context.Context, a *app.App, args []string, opts checkOptions) error {
	all, err := records.Select(ctx, a, args)
	if err != nil {
		return err
	}
	orphans, err := records.Orphans(ctx, a)
	if err == nil && len(orphans) > 0 && len(args) == 0 {
		err = cli.WithHint(errors.New("config.toml lacks the settings of stored records"), "run 'fob doctor' to list them")
	} else if len(all) == 0 {
		a.Note("Nothing is stored yet. To log in: fob login github")
	}
	failed := errors.Join(err, errors.Join(app.ForEach(ctx, a, all, func(a *app.App, r records.Record) error { return check(ctx, a, r, !opts.DryRun) })...))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, storage := range config.Storages() {
		failed = errors.Join(failed, finishRekey(ctx, a, storage, !opts.DryRun))
	}
	return errors.Join(failed, checkTemps(a, !opts.DryRun))
}

func check(ctx context.Context, a *app.App, r records.Record, repair bool) error {
	if own, err := records.Select(ctx, a, []string{r.Label}); err == nil {
		r = own[0] // prints its warnings with this App; the peppers, which no argument names, have none
	}
	found, err := r.Check(ctx, repair)
	done := map[bool]string{true: "is", false: "would be"}[repair]
	ok := true
	for _, line := range []struct {
		found bool
		text  string
	}{
		{found.Recovered, "a new token that was not saved %s recovered"},
		{found.Cache, "a cache that does not open %s deleted"},
		{found.Orphans > 0, cli.Plural(found.Orphans, "piece", "pieces") + " that no record uses %s deleted"},
		{found.Copy != "", fmt.Sprintf("an old copy in %q", found.Copy) + " %s deleted"},
	} {
		if line.found {
			ok = false
			a.Note("%s: "+line.text+".", r.Label, done)
		}
	}
	switch {
	case err != nil:
		a.Note("%s: %s.", r.Label, records.Trouble(err))
	case found.Missing:
		a.Note("%s: %s.", r.Label, r.Missing())
	case found.ReadOnly:
		a.Note("%s: ok; not searched for what an interruption left, because fob's files cannot be written.", r.Label)
	case ok:
		a.Note("%s: ok.", r.Label)
	}
	return err
}

func finishRekey(ctx context.Context, a *app.App, storage string, repair bool) error {
	store, err := a.Store(storage)
	if err != nil {
		return err
	}
	pending, err := store.Rekeying()
	if err != nil || !pending {
		return err
	}
	if !repair {
		a.Note("%s: an interrupted change of the key would be finished.", storage)
		return nil
	}
	if err := records.FinishRekey(ctx, a, storage); err != nil {
		return err
	}
	a.Note("%s: an interrupted change of the key is finished.", storage)
	return nil
}

func checkTemps(a *app.App, repair bool) error {
	paths, err := a.Paths()
	if err != nil {
		return err
	}
	done := map[bool]string{true: "deleted", false: "would be deleted"}[repair]
	var failed error
	for _, dir := range []string{paths.Data, paths.Cache} {
		left, err := atomicfile.LeftBehind(dir, a.Now().Add(-tempFileAge), repair)
		failed = errors.Join(failed, err)
		if left > 0 {
			a.Note("%s of interrupted writes %s.", cli.Plural(left, "temp file", "temp files"), done)
		}
	}
	return failed
}
