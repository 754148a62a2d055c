package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/complete"
	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/records"
	"github.com/fobcli/fob/internal/session"
)

// tempFileAge is the age at which no process can still be writing a temp file.
const tempFileAge = time.Minute

type checkOptions struct {
	args   []string
	dryRun bool
}

func newStorageCheckCmd(a *app.App) *cobra.Command {
	var opts checkOptions
	c := &cobra.Command{
		Use:   "check [PROFILE|secret/NAME...]",
		Short: "Open every record, and mend what a crash has left",
		Long: `Open the whole record of each login and secret (default: of all, and the peppers of API
keys), and report what is damaged. What a crash has left is mended, and nothing is lost by it: a token that
was not saved yet, a change of the key or of the storage that was cut short, pieces
of records and temp files that nothing names.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted),
		Example: `  fob storage check
  fob storage check work --dry-run`,
		Args:              usage.RecordArgs,
		ValidArgsFunction: complete.New(a).Records,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.args = args
			return runCheck(cmd.Context(), a, opts)
		},
	}
	c.Flags().BoolVar(&opts.dryRun, "dry-run", false, "report, and mend nothing")
	return c
}

func runCheck(ctx context.Context, a *app.App, opts checkOptions) error {
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	profiles, others, err := records.Select(ctx, a, cfg, opts.args)
	if err != nil {
		return err
	}
	if len(profiles)+len(others) == 0 {
		a.Note("There is no login yet. Make one: fob login github")
	}
	var failed error
	for _, p := range profiles {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := checkLogin(ctx, a, cfg, p, !opts.dryRun); err != nil {
			a.Note("%s: damaged, or cannot be read.", p.Name)
			failed = errors.Join(failed, cli.ForProfile(fmt.Errorf("%s: %w", p.Name, err), p.Name))
		}
	}
	for _, r := range others {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := records.CheckRecord(ctx, a, r, !opts.dryRun); err != nil {
			a.Note("%s: damaged, or cannot be read.", r.Label)
			failed = errors.Join(failed, r.Failed(err))
		}
	}
	for _, storage := range config.Storages() {
		failed = errors.Join(failed, checkRekey(ctx, a, cfg, storage, !opts.dryRun))
	}
	return errors.Join(failed, checkTemps(a, !opts.dryRun))
}

func checkLogin(ctx context.Context, a *app.App, cfg *config.Config, p config.Profile, mend bool) error {
	s, err := a.LocalSession(p)
	if err != nil {
		return err
	}
	s.Warn = func(string) {} // what is mended is said below
	found, err := s.Check(ctx, mend)
	if err != nil {
		return err
	}
	done := map[bool]string{true: "is", false: "would be"}[mend]
	said := false
	for _, line := range []struct {
		found bool
		text  string
	}{
		{found.Recovered, "a new token that was not saved %s taken up"},
		{found.Cache, "a cache that does not open %s deleted"},
		{found.Orphans > 0, cli.Plural(found.Orphans, "piece", "pieces") + " that nothing names %s deleted"},
	} {
		if line.found {
			said = true
			a.Note("%s: "+line.text+".", p.Name, done)
		}
	}
	left, err := checkLeftBehind(ctx, a, cfg, p, mend)
	if err != nil {
		return err
	}
	if !said && !left {
		a.Note("%s: ok.", p.Name)
	}
	return nil
}

// checkLeftBehind deletes a login's copy in the storage that its profile does not
// name, where a move was cut short. The login itself has just been read.
func checkLeftBehind(ctx context.Context, a *app.App, cfg *config.Config, p config.Profile, mend bool) (found bool, err error) {
	name, err := cfg.StorageFor(p.Storage)
	if err != nil {
		return false, err
	}
	s, err := a.LocalSession(p)
	if err != nil {
		return false, err
	}
	here := s.Status(ctx)
	if here.State == session.StateLoggedOut || here.State == session.StateUnreadable {
		return false, here.Err
	}
	elsewhere := p
	elsewhere.Storage = map[string]string{config.StorageKeyring: config.StorageFile, config.StorageFile: config.StorageKeyring}[name]
	if s, err = a.LocalSession(elsewhere); err != nil {
		return false, err
	}
	if _, err := s.Measure(ctx); err != nil {
		return false, nil //nolint:nilerr // not there, or a storage that is not in use here
	}
	if there := s.Status(ctx); there.SavedAt.After(here.SavedAt) || there.Err != nil {
		return true, cli.WithHint(fmt.Errorf("there is another login in %q, and it may be the later one", elsewhere.Storage),
			"nothing was deleted: to keep that one, set storage = %q in the profile's table of config.toml; to be rid of both, 'fob login %s'", elsewhere.Storage, p.Name)
	}
	if !mend {
		a.Note("%s: an old copy in %q would be deleted.", p.Name, elsewhere.Storage)
		return true, nil
	}
	a.Note("%s: an old copy in %q is deleted.", p.Name, elsewhere.Storage)
	return true, s.ForgetRecord(ctx)
}

// checkRekey ends a change of the key that was cut short.
func checkRekey(ctx context.Context, a *app.App, cfg *config.Config, storage string, mend bool) error {
	store, err := a.Store(storage)
	if err != nil {
		return err
	}
	pending, err := store.Rekeying()
	if err != nil || !pending {
		return err
	}
	if !mend {
		a.Note("A change of the key of %q was cut short and would be ended.", storage)
		return nil
	}
	if err := resealAll(ctx, a, cfg, storage); err != nil {
		return err
	}
	a.Note("A change of the key of %q was cut short and is ended.", storage)
	return store.EndRekey()
}

func checkTemps(a *app.App, mend bool) error {
	paths, err := a.Paths()
	if err != nil {
		return err
	}
	done := map[bool]string{true: "deleted", false: "would be deleted"}[mend]
	var failed error
	for _, dir := range []string{paths.Data, paths.Cache} {
		left, err := atomicfile.LeftBehind(dir, a.Now().Add(-tempFileAge), mend)
		failed = errors.Join(failed, err)
		if left > 0 {
			a.Note("%s of writes that were cut short %s.", cli.Plural(left, "temp file", "temp files"), done)
		}
	}
	return failed
}
