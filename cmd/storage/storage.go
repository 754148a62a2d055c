// Package storage contains the commands for what fob stores.
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
)

func New(a *app.App) *cobra.Command {
	return usage.Group(a, a.Called, &cobra.Command{
		Use:   "storage",
		Short: "Show, move and back up stored logins and secrets",
		Long: `Show, move and back up stored logins and secrets. They are sealed in the OS keyring,
or in encrypted files where there is no keyring: --storage at 'fob login', FOB_STORAGE
or 'storage' in config.toml choose one, and fob never falls back to the other.

The key of the files is FOB_SEAL_KEY, the file that key_file names, a credential of
systemd, or derived from a passphrase. With FOB_STORAGE=none nothing is stored: each
command takes its credential from the environment.`,
		Example: `  fob storage status
  fob storage migrate --to file
  fob storage backup --output fob-backup.age`,
	}, "status migrate check rekey backup restore", newStatus, newMigrate, newCheck, newRekey, newBackup, newRestore)
}

func newStatus(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "status",
		Short: "Show the storages and what is in them",
		Long: `Show each storage in use: the source of its key, and the size and health of each login,
each secret and the peppers of API keys. Every record is opened; nothing is changed.`,
		Example: `  fob storage status
  fob storage status --json`,
		Args: usage.NoArgs,
	}, usage.JSONFlag{}, runStatus, cli.ExitDone, cli.ExitUsage, cli.ExitStorage)
}

type storageJSON struct {
	Storage   string           `json:"storage"`
	KeySource string           `json:"key_source"`
	Rekeying  bool             `json:"rekeying"` // a change of the key is unfinished
	Logins    []records.Status `json:"logins"`
	Records   []records.Status `json:"records"` // secrets, and the peppers of API keys
}

func runStatus(ctx context.Context, a *app.App, _ []string, opts usage.JSONFlag) error {
	orphans := records.WarnOfOrphans(ctx, a)
	all, failed := []storageJSON{}, error(nil)
	for _, name := range config.Storages() {
		storage, err := readStatus(ctx, a, name)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		failed = errors.Join(failed, err)
		if len(storage.Logins)+len(storage.Records) > 0 || storage.Rekeying {
			all = append(all, storage)
		}
	}
	printed := a.PrintJSON
	if !opts.JSON && (len(all) > 0 || !orphans) {
		printed = func(any) error { return printStatus(a, all) }
	}
	return errors.Join(printed(all), failed)
}

func readStatus(ctx context.Context, a *app.App, name string) (storageJSON, error) {
	out := storageJSON{Storage: name, KeySource: "seal.key", Logins: []records.Status{}, Records: []records.Status{}}
	cfg, err := a.Config()
	if err != nil {
		return out, err
	}
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
	all, err := records.In(ctx, a, name)
	if err != nil {
		return out, err
	}
	return out, each(ctx, all, func(r records.Record) error {
		status, err := r.Status(ctx)
		if r.Kind == records.Login {
			out.Logins = append(out.Logins, status)
		} else {
			out.Records = append(out.Records, status)
		}
		return err
	})
}

func printStatus(a *app.App, all []storageJSON) error {
	if len(all) == 0 {
		a.Note("Nothing is stored yet. To log in: fob login github")
		return nil
	}
	rows := [][]string{{"STORAGE", "KEY", "RECORD", "ITEMS", "BYTES", "HEALTH"}}
	for _, storage := range all {
		if storage.Rekeying {
			a.Note("warning: changing the key of %q was interrupted; 'fob storage check' finishes it", storage.Storage)
		}
		for _, r := range slices.Concat(storage.Logins, storage.Records) {
			rows = append(rows, []string{storage.Storage, storage.KeySource, r.Profile + r.Record, cli.CountText(r.Items), cli.CountText(r.Bytes), r.Health})
		}
	}
	return a.PrintTable(rows)
}

// each calls do for every record, even after failures, and returns the joined errors.
func each[R any](ctx context.Context, all []R, do func(R) error) error {
	var failed []error
	for _, r := range all {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		failed = append(failed, do(r))
	}
	return errors.Join(failed...)
}
