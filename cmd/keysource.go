package cmd

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/process"
	"github.com/fobcli/fob/internal/secret"
)

// keySource is where the key of the encrypted files comes from.
type keySource struct {
	name string
	open credstore.KeySource
}

// The names of sources that are no files.
const (
	passphraseSource = "a passphrase"
	sealKeyVariable  = "FOB_SEAL_KEY"
)

// fileKey finds the source: FOB_SEAL_KEY, the configured key file, a credential of
// the service manager, else a passphrase.
func (a *app) fileKey(cfg *config.Config) keySource {
	if value := a.getenv(sealKeyVariable); value != "" {
		return keySource{sealKeyVariable, credstore.EnvKey(sealKeyVariable, value)}
	}
	if cfg.KeyFile != "" {
		return keySource{cfg.KeyFile, credstore.KeyFile(cfg.KeyFile, cfg.Paths.Data)}
	}
	if dir := a.getenv("CREDENTIALS_DIRECTORY"); dir != "" {
		path := filepath.Join(dir, "fob.key")
		if _, err := os.Lstat(path); err == nil {
			return keySource{path, credstore.Credential(path)}
		}
	}
	ask := func(ctx context.Context, confirm bool) (secret.Secret, error) {
		return a.askPassphrase(ctx, cfg.PassphraseCommand, confirm)
	}
	return keySource{passphraseSource, credstore.Passphrase(credstore.PassphraseOptions{DataDir: cfg.Paths.Data, Ask: ask})}
}

func (a *app) knownPassphrase(ctx context.Context, command []string, confirm bool) (secret.Secret, error) {
	path := a.getenv("FOB_PASSPHRASE_FILE")
	switch {
	case path != "" && confirm:
		return newPassphraseIn(path)
	case path != "":
		return readSecretFile(path)
	case len(command) > 0:
		passphrase, err := a.commandOutput(ctx, command)
		if err == nil && confirm {
			err = checkNewPassphrase(passphrase)
		}
		return passphrase, err
	case confirm:
		return a.askNewPassphrase(ctx, "New passphrase for fob's storage:")
	}
	return a.askSecret(ctx, "Passphrase of fob's storage:")
}

// askPassphrase gets the passphrase of the encrypted files: from the file that
// FOB_PASSPHRASE_FILE names, from the configured command, else from the terminal,
// twice for a new one.
func (a *app) askPassphrase(ctx context.Context, command []string, confirm bool) (secret.Secret, error) {
	passphrase, err := a.knownPassphrase(ctx, command, confirm)
	if errors.Is(err, errNoTerminal) {
		return passphrase, withHint(usagef("the encrypted file needs its key, and %s", err),
			"set FOB_SEAL_KEY or FOB_PASSPHRASE_FILE, or key_file or passphrase_command in the configuration")
	}
	return passphrase, err
}

// commandOutput runs a configured program and returns what it prints as a secret.
// It may ask on the terminal, but not on stdin, which may hold a token for fob.
func (a *app) commandOutput(ctx context.Context, argv []string) (secret.Secret, error) {
	program := process.Command(ctx, argv[0], argv[1:]...)
	var stdout bytes.Buffer
	program.Stdout, program.Stderr = &stdout, a.stderr.raw()
	if err := program.Run(); err != nil {
		return secret.Secret{}, withHint(usagef("passphrase_command %q: %s", argv[0], err), "run it by hand; it must print the passphrase and nothing else")
	}
	return readSecret(&stdout, "passphrase_command")
}
