package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/session"
)

// leftAfter is how old a temp file is before nobody can be writing it.
const leftAfter = time.Minute

type checkOptions struct {
	args   []string
	dryRun bool
}

func newStorageCheckCmd(a *app) *cobra.Command {
	var opts checkOptions
	c := &cobra.Command{
		Use:   "check [PROFILE|secret/NAME...]",
		Short: "Open every record, and mend what a crash has left",
		Long: `Open the whole record of each login and secret (default: of all, and the peppers of API
keys), and report what is damaged. What a crash has left is mended, and nothing is lost by it: a token that
was not saved yet, a change of the key or of the storage that was cut short, pieces
of records and temp files that nothing names.

` + exitHelp(exitDone, exitFailed, exitUsage, exitStorage, exitLockTimeout, exitInterrupted),
		Example: `  fob storage check
  fob storage check work --dry-run`,
		Args:              recordArgs,
		ValidArgsFunction: completionsOf(a).completeRecords,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.args = args
			return runCheck(cmd.Context(), a, opts)
		},
	}
	c.Flags().BoolVar(&opts.dryRun, "dry-run", false, "report, and mend nothing")
	return c
}

func runCheck(ctx context.Context, a *app, opts checkOptions) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	profiles, others, err := a.recordsFor(ctx, cfg, opts.args)
	if err != nil {
		return err
	}
	if len(profiles)+len(others) == 0 {
		a.note("There is no login yet. Make one: fob login github")
	}
	var failed error
	for _, p := range profiles {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := a.checkLogin(ctx, cfg, p, !opts.dryRun); err != nil {
			a.note("%s: damaged, or cannot be read.", p.Name)
			failed = errors.Join(failed, forProfile(fmt.Errorf("%s: %w", p.Name, err), p.Name))
		}
	}
	for _, r := range others {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := a.checkRecord(ctx, cfg, r, !opts.dryRun); err != nil {
			a.note("%s: damaged, or cannot be read.", r.label)
			failed = errors.Join(failed, r.failed(err))
		}
	}
	for _, storage := range []string{storageKeyring, storageFile} {
		failed = errors.Join(failed, a.checkRekey(ctx, cfg, storage, !opts.dryRun))
	}
	return errors.Join(failed, a.checkTemps(!opts.dryRun))
}

func (a *app) checkLogin(ctx context.Context, cfg *config.Config, p config.Profile, mend bool) error {
	s, err := a.localSession(p)
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
		{found.Orphans > 0, plural(found.Orphans, "piece", "pieces") + " that nothing names %s deleted"},
	} {
		if line.found {
			said = true
			a.note("%s: "+line.text+".", p.Name, done)
		}
	}
	left, err := a.checkLeftBehind(ctx, cfg, p, mend)
	if err != nil {
		return err
	}
	if !said && !left {
		a.note("%s: ok.", p.Name)
	}
	return nil
}

// checkLeftBehind deletes a login's copy in the storage that its profile does not
// name, where a move was cut short. The login itself has just been read.
func (a *app) checkLeftBehind(ctx context.Context, cfg *config.Config, p config.Profile, mend bool) (found bool, err error) {
	name, err := a.storageName(cfg, p)
	if err != nil {
		return false, err
	}
	s, err := a.localSession(p)
	if err != nil {
		return false, err
	}
	here := s.Status(ctx)
	if here.State == session.StateLoggedOut || here.State == session.StateUnreadable {
		return false, here.Err
	}
	elsewhere := p
	elsewhere.Storage = map[string]string{storageKeyring: storageFile, storageFile: storageKeyring}[name]
	if s, err = a.localSession(elsewhere); err != nil {
		return false, err
	}
	if _, err := s.Measure(ctx); err != nil {
		return false, nil //nolint:nilerr // not there, or a storage that is not in use here
	}
	if there := s.Status(ctx); there.SavedAt.After(here.SavedAt) || there.Err != nil {
		return true, withHint(fmt.Errorf("there is another login in %q, and it may be the later one", elsewhere.Storage),
			"nothing was deleted: to keep that one, set storage = %q in the profile's table of config.toml; to be rid of both, 'fob login %s'", elsewhere.Storage, p.Name)
	}
	if !mend {
		a.note("%s: an old copy in %q would be deleted.", p.Name, elsewhere.Storage)
		return true, nil
	}
	a.note("%s: an old copy in %q is deleted.", p.Name, elsewhere.Storage)
	return true, s.ForgetRecord(ctx)
}

// checkRekey ends a change of the key that was cut short.
func (a *app) checkRekey(ctx context.Context, cfg *config.Config, storage string, mend bool) error {
	store, err := a.store(cfg, config.Profile{Storage: storage})
	if err != nil {
		return err
	}
	pending, err := store.Rekeying()
	if err != nil || !pending {
		return err
	}
	if !mend {
		a.note("A change of the key of %q was cut short and would be ended.", storage)
		return nil
	}
	if err := a.resealAll(ctx, cfg, storage); err != nil {
		return err
	}
	a.note("A change of the key of %q was cut short and is ended.", storage)
	return store.EndRekey()
}

func (a *app) checkTemps(mend bool) error {
	paths, err := a.paths()
	if err != nil {
		return err
	}
	done := map[bool]string{true: "deleted", false: "would be deleted"}[mend]
	var failed error
	for _, dir := range []string{paths.Data, paths.Cache} {
		left, err := atomicfile.LeftBehind(dir, a.now().Add(-leftAfter), mend)
		failed = errors.Join(failed, err)
		if left > 0 {
			a.note("%s of writes that were cut short %s.", plural(left, "temp file", "temp files"), done)
		}
	}
	return failed
}
