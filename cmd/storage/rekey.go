package storage

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/records"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/secret"
)

type rekeyOptions struct {
	Storage        string `flag:"storage" values:"keyring file" help:"the {STORAGE}: keyring or file"`
	Passphrase     bool   `flag:"passphrase" help:"new source: a passphrase that fob asks for"`
	PassphraseFile string `flag:"passphrase-file" empty:"refused" not:"passphrase" help:"new source: the passphrase in this {FILE}"`
	KeyFile        string `flag:"key-file" empty:"refused" not:"passphrase passphrase-file" help:"new source: the key in this {FILE}, created if absent"`
	SealKeyStdin   bool   `flag:"seal-key-stdin" not:"passphrase passphrase-file key-file" help:"new source: FOB_SEAL_KEY, whose value is read from stdin"`
	DryRun         bool   `flag:"dry-run" help:"show what would be done, and do nothing"`
}

func newRekey(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "rekey",
		Short: "Seal every record under a new key",
		Long: `Change the key that records are sealed under, or its source, and seal every record
again. For the keyring, fob makes the key itself: use --storage keyring and no other flag.

If interrupted, the old or the new key still opens every record, and 'fob storage check'
finishes the change.`,
		Example: `  fob storage rekey --passphrase
  fob storage rekey --key-file /media/stick/fob.key
  fob storage rekey --storage keyring`,
		Args: usage.NoArgs,
	}, rekeyOptions{Storage: config.StorageFile}, runRekey, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

// nextKey is a new key and how to switch its source to it.
type nextKey struct {
	key    seal.Key
	source string
	commit func() error // makes the source return the key
	after  func() error // called once no record needs the old key
}

func runRekey(ctx context.Context, a *app.App, _ []string, opts rekeyOptions) error {
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	if opts.KeyFile != "" {
		if opts.KeyFile, err = filepath.Abs(opts.KeyFile); err != nil {
			return err
		}
	}
	if err := checkNextKey(a, cfg, opts); err != nil {
		return err
	}
	if opts.DryRun {
		all, err := records.In(ctx, a, opts.Storage)
		if err == nil {
			a.Note("Would seal %s in %q again.", records.Count(all), opts.Storage)
		}
		return err
	}
	unused := opts.Storage == config.StorageFile && a.FileKey(cfg).IsUnused(cfg.Paths.Data)
	switched := false
	if !unused {
		if switched, err = prepare(ctx, a, opts.Storage); err != nil {
			return err
		}
	}
	next, err := chooseNextKey(ctx, a, cfg.Paths, opts)
	if err != nil {
		return err
	}
	if unused {
		err = errors.Join(next.commit(), next.after())
		if err == nil {
			a.Note("Nothing was sealed yet. Source of the key: %s.", next.source)
		}
		return err
	}
	err = records.Rekey(ctx, a, opts.Storage, next.key, next.commit)
	if switched && errors.Is(err, credstore.ErrSameKey) { // this command repeats the interrupted one
		return next.after()
	}
	if err != nil {
		return err
	}
	err = records.FinishRekey(ctx, a, opts.Storage)
	if err == nil {
		err = next.after()
	}
	if err != nil {
		return cli.WithHint(err, "nothing is lost; run 'fob storage check' with the new key to finish")
	}
	a.Note("Every record in %q is sealed under the new key. Source of the key: %s.", opts.Storage, next.source)
	return nil
}

// prepare finishes an interrupted change of the key, and reports whether that had already
// switched to the present key. Without the storage or its key, the next change could not be
// finished either.
func prepare(ctx context.Context, a *app.App, storage string) (switched bool, err error) {
	store, err := a.Store(storage)
	if err != nil {
		return false, err
	}
	switched = store.HasSwitched(ctx)
	if err := finishRekey(ctx, a, storage, true); err != nil {
		return switched, err
	}
	return switched, store.Probe(ctx, 1)
}

// checkNextKey rejects impossible changes, before asking the user and creating files.
func checkNextKey(a *app.App, cfg *config.Config, opts rekeyOptions) error {
	given := opts.Passphrase || opts.PassphraseFile != "" || opts.KeyFile != "" || opts.SealKeyStdin
	switch {
	case opts.Storage == config.StorageKeyring && given:
		return cli.WithHint(cli.Usagef("fob makes the keyring's key itself"), "run 'fob storage rekey --storage keyring'")
	case opts.Storage == config.StorageKeyring || opts.SealKeyStdin:
		return nil
	case !given:
		return cli.WithHint(cli.Usagef("the source of the new key is required"), "use --passphrase, --passphrase-file, --key-file or --seal-key-stdin")
	case a.Getenv("FOB_SEAL_KEY") != "": // it takes precedence over the new source, so that no record could be opened
		return overridesError("FOB_SEAL_KEY")
	case opts.KeyFile != "":
		err := credstore.CheckKeyFile(opts.KeyFile, cfg.Paths.Data)
		if dir := filepath.Dir(opts.KeyFile); err == nil && !app.PathExists(dir) {
			err = cli.WithHint(cli.Usagef("the folder %q does not exist", dir), "check the path; if it is on removable media, attach that first; else create the folder")
		}
		return err
	case a.Getenv("CREDENTIALS_DIRECTORY") != "" && cfg.KeyFile == "" && a.FileKey(cfg).Name != app.PassphraseSource:
		return overridesError("CREDENTIALS_DIRECTORY")
	case opts.PassphraseFile != "":
		_, err := cli.NewPassphraseIn(opts.PassphraseFile)
		return err
	}
	return nil
}

func overridesError(name string) error {
	return cli.WithHint(cli.Usagef("%s is set, and takes precedence over the new key", name),
		"use --seal-key-stdin to change its value; for another source, copy the key to a private file outside fob's folders, set key_file in config.toml to that file, unset the variable, and run the same command again")
}

func chooseNextKey(ctx context.Context, a *app.App, paths config.Paths, opts rekeyOptions) (next nextKey, err error) {
	next.commit = func() error { return nil }
	next.after = next.commit
	switch {
	case opts.Storage == config.StorageKeyring:
		next.source = "seal.key in fob's data folder"
		next.key, next.commit = credstore.NextSealKey(paths.Data)
	case opts.SealKeyStdin: // the user sets the variable
		next.source = "FOB_SEAL_KEY (set it to the new value wherever fob runs)"
		next.after = func() error {
			return errors.Join(credstore.ForgetPassphrase(paths.Data), config.Edit(paths.Config, func(c *config.Config) { c.KeyFile = "" }))
		}
		var value secret.Secret
		if value, err = a.SecretOnStdin(ctx, "New value of FOB_SEAL_KEY:"); err == nil {
			next.key, err = credstore.EnvKey("stdin", value.Reveal())(ctx, false)
		}
	case opts.KeyFile != "":
		next.source = opts.KeyFile
		next.commit = func() error { return config.Edit(paths.Config, func(c *config.Config) { c.KeyFile = opts.KeyFile }) }
		next.after = func() error { return credstore.ForgetPassphrase(paths.Data) }
		if err = credstore.MakeKeyFile(opts.KeyFile, paths.Data); err == nil {
			next.key, err = credstore.KeyFile(opts.KeyFile, paths.Data)(ctx, false)
		}
	default:
		next.source = "the new passphrase"
		var save func() error
		next.key, save, err = credstore.NextPassphrase(ctx, credstore.PassphraseOptions{DataDir: paths.Data, Ask: func(ctx context.Context, _ bool) (secret.Secret, error) {
			return newPassphrase(ctx, a, opts.PassphraseFile, "New passphrase for fob's storage:")
		}})
		next.commit = func() error {
			if err := save(); err != nil {
				return err
			}
			return config.Edit(paths.Config, func(c *config.Config) { c.KeyFile = "" })
		}
	}
	return next, err
}

func newPassphrase(ctx context.Context, a *app.App, path, question string) (secret.Secret, error) {
	if path != "" {
		return cli.NewPassphraseIn(path)
	}
	passphrase, err := a.AskNewPassphrase(ctx, question)
	return passphrase, passphraseError(err)
}

func passphraseError(err error) error {
	if errors.Is(err, cli.ErrNoTerminal) {
		return cli.WithHint(cli.AsUsage(err), "use --passphrase-file FILE")
	}
	return err
}
