// Package storage is the commands of what fob stores.
package storage

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/records"
	"github.com/fobcli/fob/internal/session"
)

func New(a *app.App) *cobra.Command {
	c := &cobra.Command{
		Use:   "storage",
		Short: "Show, move and back up where logins and secrets are kept",
		Args:  usage.NoSuchCommand,
		RunE:  usage.ShowHelp,
	}
	c.AddCommand(newStorageStatusCmd(a), newStorageMigrateCmd(a), newStorageCheckCmd(a), newStorageRekeyCmd(a), newStorageBackupCmd(a), newStorageRestoreCmd(a))
	return c
}

func newStorageStatusCmd(a *app.App) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show which storages are in use, and what is in them",
		Long: `Show each storage that is in use: where its key comes from, and what each login, each
secret and the peppers of API keys take there. Every record is opened, and nothing is
changed.

` + usage.ExitHelp(cli.ExitDone, cli.ExitUsage, cli.ExitStorage),
		Example: `  fob storage status
  fob storage status --json`,
		Args: usage.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runStorageStatus(cmd.Context(), a, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// storageJSON is what `fob storage status --json` prints of one storage.
type storageJSON struct {
	Storage   string               `json:"storage"`
	KeySource string               `json:"key_source"`
	Rekeying  bool                 `json:"rekeying"` // a change of the key was begun and not ended
	Logins    []records.StatusJSON `json:"logins"`
	Records   []records.StatusJSON `json:"records"` // secrets, and the peppers of API keys
}

func runStorageStatus(ctx context.Context, a *app.App, asJSON bool) error {
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	all, failed := []storageJSON{}, error(nil)
	for _, name := range config.Storages() {
		storage, err := storageStatus(ctx, a, cfg, name)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		failed = errors.Join(failed, err)
		if len(storage.Logins)+len(storage.Records) > 0 || storage.Rekeying {
			all = append(all, storage)
		}
	}
	if asJSON {
		err = a.PrintJSON(all)
	} else {
		err = printStorage(a, all)
	}
	return errors.Join(err, failed)
}

func storageStatus(ctx context.Context, a *app.App, cfg *config.Config, name string) (storageJSON, error) {
	out := storageJSON{Storage: name, Logins: []records.StatusJSON{}, Records: []records.StatusJSON{}}
	out.KeySource = "seal.key"
	if name == config.StorageFile {
		out.KeySource = a.FileKey(cfg).Name
	}
	store, err := a.Store(name)
	if err != nil {
		return out, err
	}
	if out.Rekeying, err = store.Rekeying(); err != nil {
		return out, err
	}
	var failed error
	for _, p := range cfg.ProfilesIn(name) {
		login, err := storedLogin(ctx, a, p)
		out.Logins = append(out.Logins, login)
		failed = errors.Join(failed, err)
	}
	others, err := records.InStorage(ctx, a, cfg, name)
	failed = errors.Join(failed, err)
	for _, r := range others {
		record, err := r.Status(ctx)
		out.Records = append(out.Records, record)
		failed = errors.Join(failed, err)
	}
	return out, failed
}

func storedLogin(ctx context.Context, a *app.App, p config.Profile) (records.StatusJSON, error) {
	out := records.StatusJSON{Profile: p.Name, Health: "ok"}
	s, err := a.LocalSession(p)
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
	return out, cli.ForProfile(err, p.Name)
}

func printStorage(a *app.App, all []storageJSON) error {
	if len(all) == 0 {
		a.Note("There is no login yet. Make one: fob login github")
		return nil
	}
	rows := [][]string{{"STORAGE", "KEY", "RECORD", "ITEMS", "BYTES", "HEALTH"}}
	for _, storage := range all {
		if storage.Rekeying {
			a.Note("warning: a change of the key of %q was cut short; 'fob storage check' ends it", storage.Storage)
		}
		for _, r := range slices.Concat(storage.Logins, storage.Records) {
			rows = append(rows, []string{storage.Storage, storage.KeySource, r.Profile + r.Record, cli.CountText(r.Items), cli.CountText(r.Bytes), r.Health})
		}
	}
	return a.PrintTable(rows)
}
