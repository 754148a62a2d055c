package app

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/process"
	"github.com/fobcli/fob/internal/secret"
)

// KeySource is a source of the encrypted files' key.
type KeySource struct {
	Name string
	Open credstore.KeySource
}

// The names of sources that are not files.
const (
	PassphraseSource = "a passphrase"
	SealKeyVariable  = "FOB_SEAL_KEY"
)

// FileKey finds the source: FOB_SEAL_KEY, the configured key file, a credential of
// the service manager, else a passphrase.
func (a *App) FileKey(cfg *config.Config) KeySource {
	if value := a.Getenv(SealKeyVariable); value != "" {
		return KeySource{SealKeyVariable, credstore.EnvKey(SealKeyVariable, value)}
	}
	if cfg.KeyFile != "" {
		return KeySource{cfg.KeyFile, credstore.KeyFile(cfg.KeyFile, cfg.Paths.Data)}
	}
	if dir := a.Getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		path := filepath.Join(dir, "fob.key")
		if _, err := os.Lstat(path); err == nil {
			return KeySource{path, credstore.Credential(path)}
		}
	}
	ask := func(ctx context.Context, confirm bool) (secret.Secret, error) {
		return askPassphrase(ctx, a.IO, cfg.PassphraseCommand, confirm)
	}
	return KeySource{PassphraseSource, credstore.Passphrase(credstore.PassphraseOptions{DataDir: cfg.Paths.Data, Ask: ask})}
}

// IsUnused reports that the encrypted files have no key yet.
func (s KeySource) IsUnused(dataDir string) bool {
	return s.Name == PassphraseSource && !PathExists(filepath.Join(dataDir, "seal.json")) && !PathExists(filepath.Join(dataDir, "records"))
}

// askPassphrase gets the passphrase of the encrypted files: from the file that
// FOB_PASSPHRASE_FILE names, from the configured command, else from the terminal,
// twice for a new one.
func askPassphrase(ctx context.Context, terminal *cli.IO, command []string, confirm bool) (passphrase secret.Secret, err error) {
	path := terminal.Getenv("FOB_PASSPHRASE_FILE")
	switch {
	case path != "" || len(command) > 0:
		if path == "" {
			passphrase, err = commandOutput(ctx, terminal, command)
		} else if passphrase, err = cli.ReadSecretFile(path); err != nil {
			err = cli.WithHint(err, "check FOB_PASSPHRASE_FILE, or write the passphrase to the file")
		}
		if err == nil && confirm {
			err = cli.CheckNewPassphrase(passphrase)
		}
		return passphrase, err
	case confirm:
		passphrase, err = terminal.AskNewPassphrase(ctx, "New passphrase for fob's storage:")
	default:
		passphrase, err = terminal.AskSecret(ctx, "Passphrase of fob's storage:")
	}
	if errors.Is(err, cli.ErrNoTerminal) {
		return passphrase, cli.WithHint(cli.Usagef("the encrypted file needs its key: %s", err),
			"run 'fob storage rekey --key-file ~/fob.key' if nothing is stored in it yet; or set FOB_SEAL_KEY or FOB_PASSPHRASE_FILE, or key_file or passphrase_command in config.toml")
	}
	return passphrase, err
}

// commandOutput runs a configured program and returns what it prints as a secret.
// It may use the terminal, but not stdin, which may be a token for fob.
func commandOutput(ctx context.Context, terminal *cli.IO, argv []string) (secret.Secret, error) {
	program := process.Command(ctx, argv[0], argv[1:]...)
	var stdout bytes.Buffer
	program.Stdout, program.Stderr = &stdout, terminal.Err.Raw()
	if err := program.Run(); err != nil {
		return secret.Secret{}, cli.WithHint(cli.Usagef("passphrase_command %q: %s", argv[0], err), "run it by hand; it must print only the passphrase")
	}
	return cli.ReadSecret(&stdout, "passphrase_command")
}
