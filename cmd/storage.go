package cmd

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/session"
)

func newStorageCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "storage",
		Short: "Show, move and back up where logins and secrets are kept",
		Args:  noSuchCommand,
		RunE:  showHelp,
	}
	c.AddCommand(newStorageStatusCmd(a), newStorageMigrateCmd(a), newStorageCheckCmd(a), newStorageRekeyCmd(a), newStorageBackupCmd(a), newStorageRestoreCmd(a))
	return c
}

func newStorageStatusCmd(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show which storages are in use, and what is in them",
		Long: `Show each storage that is in use: where its key comes from, and what each login, each
secret and the peppers of API keys take there. Every record is opened, and nothing is
changed.

` + exitHelp(exitDone, exitUsage, exitStorage),
		Example: `  fob storage status
  fob storage status --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runStorageStatus(cmd.Context(), a, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// storageJSON is what `fob storage status --json` prints of one storage.
type storageJSON struct {
	Storage   string       `json:"storage"`
	KeySource string       `json:"key_source"`
	Rekeying  bool         `json:"rekeying"` // a change of the key was begun and not ended
	Logins    []storedJSON `json:"logins"`
	Records   []storedJSON `json:"records"` // secrets, and the peppers of API keys
}

type storedJSON struct {
	Profile string `json:"profile,omitempty"` // of a login
	Record  string `json:"record,omitempty"`  // what else it is
	Items   int    `json:"items"`             // keyring items, or files
	Bytes   int    `json:"bytes"`             // sealed
	Health  string `json:"health"`
	Problem string `json:"problem,omitempty"`
}

func runStorageStatus(ctx context.Context, a *app, asJSON bool) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	all, failed := []storageJSON{}, error(nil)
	for _, name := range []string{storageKeyring, storageFile} {
		storage, err := a.storageStatus(ctx, cfg, name)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		failed = errors.Join(failed, err)
		if len(storage.Logins)+len(storage.Records) > 0 || storage.Rekeying {
			all = append(all, storage)
		}
	}
	if asJSON {
		err = a.printJSON(all)
	} else {
		err = a.printStorage(all)
	}
	return errors.Join(err, failed)
}

func (a *app) storageStatus(ctx context.Context, cfg *config.Config, name string) (storageJSON, error) {
	out := storageJSON{Storage: name, Logins: []storedJSON{}, Records: []storedJSON{}}
	out.KeySource = "seal.key"
	if name == storageFile {
		out.KeySource = a.fileKey(cfg).name
	}
	store, err := a.store(cfg, config.Profile{Storage: name})
	if err != nil {
		return out, err
	}
	if out.Rekeying, err = store.Rekeying(); err != nil {
		return out, err
	}
	var failed error
	for _, p := range a.profilesIn(cfg, name) {
		login, err := a.storedLogin(ctx, p)
		out.Logins = append(out.Logins, login)
		failed = errors.Join(failed, err)
	}
	others, err := a.recordsIn(ctx, cfg, name)
	failed = errors.Join(failed, err)
	for _, r := range others {
		record, err := r.status(ctx)
		out.Records = append(out.Records, record)
		failed = errors.Join(failed, err)
	}
	return out, failed
}

func (a *app) storedLogin(ctx context.Context, p config.Profile) (storedJSON, error) {
	out := storedJSON{Profile: p.Name, Health: "ok"}
	s, err := a.localSession(p)
	if err != nil {
		return out, err
	}
	size, err := s.Measure(ctx)
	if err == nil {
		if status := s.Status(ctx); status.State == session.StateUnreadable {
			err = status.Err
		}
	}
	out.Items, out.Bytes = size.Items, size.Bytes
	switch {
	case errors.Is(err, session.ErrLoginRequired):
		out.Health = "not logged in"
		return out, nil
	case err != nil:
		out.Health, out.Problem = "unreadable", err.Error()
	}
	return out, forProfile(err, p.Name)
}

func (a *app) printStorage(all []storageJSON) error {
	if len(all) == 0 {
		a.note("There is no login yet. Make one: fob login github")
		return nil
	}
	rows := [][]string{{"STORAGE", "KEY", "RECORD", "ITEMS", "BYTES", "HEALTH"}}
	for _, storage := range all {
		if storage.Rekeying {
			a.note("warning: a change of the key of %q was cut short; 'fob storage check' ends it", storage.Storage)
		}
		for _, r := range slices.Concat(storage.Logins, storage.Records) {
			rows = append(rows, []string{storage.Storage, storage.KeySource, r.Profile + r.Record, countText(r.Items), countText(r.Bytes), r.Health})
		}
	}
	return a.printTable(rows)
}

// profilesIn are the profiles whose logins lie in a storage.
func (a *app) profilesIn(cfg *config.Config, storage string) []config.Profile {
	var profiles []config.Profile
	for _, name := range cfg.Names() {
		p := cfg.Profiles[name]
		if in, err := a.storageName(cfg, p); err == nil && in == storage {
			profiles = append(profiles, p)
		}
	}
	return profiles
}

// recordArgs accepts profiles, and secrets as secret/NAME.
func recordArgs(_ *cobra.Command, args []string) error {
	for _, arg := range args {
		if name, isSecret := strings.CutPrefix(arg, secretReference); isSecret {
			if err := config.ValidSecretName(name); err != nil {
				return usageOf(err)
			}
		} else if err := checkNames([]string{arg}); err != nil {
			return err
		}
	}
	return nil
}

func checkStorage(name string) error {
	if name != storageKeyring && name != storageFile {
		return withHint(usagef("there is no storage %q", name), "choose 'keyring' or 'file'")
	}
	return nil
}
