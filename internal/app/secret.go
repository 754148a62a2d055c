package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/secretstore"
	"github.com/fobcli/fob/internal/session"
)

// UnknownSecretError means that config.toml has no settings of a secret.
type UnknownSecretError struct {
	error
	Name string
}

func (e *UnknownSecretError) Unwrap() error { return e.error }

// KnownSecret returns the settings of a secret in config.toml.
func KnownSecret(cfg *config.Config, name string) (config.Secret, error) {
	s, known := cfg.Secrets[name]
	if known {
		return s, nil
	}
	err := &UnknownSecretError{cli.Usagef("unknown secret %q", name), name}
	if near := cli.Nearest(name, cfg.SecretNames()); near != "" {
		return s, cli.WithHint(err, "did you mean '%s'?", near)
	}
	return s, cli.WithHint(err, "run 'fob secret list' for their names, or 'fob secret set %s' to store it", name)
}

// SealedSecret returns a secret in the storage that its settings name.
func (a *App) SealedSecret(s config.Secret) (*secretstore.Secret, error) {
	cfg, err := a.Config()
	if err != nil {
		return nil, err
	}
	in, err := cfg.StorageFor(s.Storage)
	if err != nil {
		return nil, err
	}
	if in == config.StorageNone {
		return nil, cli.WithHint(fmt.Errorf("the environment has no secret %q: %w", s.Name, secretstore.ErrNoValue), "set %s, or choose the storage 'keyring' or 'file'", config.SecretVariable(s.Name))
	}
	store, err := a.Store(in)
	if err != nil {
		return nil, err
	}
	v := &secretstore.Secret{Name: s.Name, Store: store, Dir: filepath.Join(cfg.Paths.Data, "locks"), Now: a.Now}
	v.Current = func() error {
		cfg, err := a.Config()
		if err != nil {
			return err
		}
		now, known := cfg.Secrets[s.Name]
		if !known { // new or deleted: the storage is right
			return nil
		}
		if moved, err := cfg.StorageFor(now.Storage); err != nil || moved != in {
			return cmp.Or(err, session.ErrMoved)
		}
		return nil
	}
	return v, nil
}

// secretSettings returns the settings of a secret. Without a storage, it needs none.
func (a *App) secretSettings(name string) (config.Secret, error) {
	cfg, err := a.Config()
	if err != nil {
		return config.Secret{}, err
	}
	settings, err := KnownSecret(cfg, name)
	if in, _ := cfg.StorageFor(""); err != nil && in == config.StorageNone {
		return config.Secret{Name: name}, nil
	}
	return settings, err
}

// secretFromEnv returns the value of a secret's variable, or "". A variable that could be for
// another secret too is an error.
func (a *App) secretFromEnv(name string) (string, error) {
	variable := config.SecretVariable(name)
	value := a.Getenv(variable)
	if value == "" {
		return "", nil
	}
	cfg, err := a.Config()
	if err != nil {
		return "", err
	}
	other := cfg.SharingVariable(name)
	if _, known := cfg.Secrets[name]; other != "" && !known {
		return "", cli.WithHint(cli.Usagef("unknown secret %q, and %s belongs to %q", name, variable, other), "did you mean '%s'?", other)
	}
	if other != "" {
		return "", cli.WithHint(cli.Usagef("%s is ambiguous: it belongs to the secret %q as well as to %q", variable, other, name),
			"run 'unset %s' to use the stored values; to use the variable, store one of the two under another name", variable)
	}
	return value, nil
}

// HeldSecret returns the secret that 'fob secret get NAME' prints.
func (a *App) HeldSecret(ctx context.Context, name string) (secretstore.Held, error) {
	if value, err := a.secretFromEnv(name); err != nil || value != "" {
		return secretstore.Held{Value: secret.New(value)}, err
	}
	settings, err := a.secretSettings(name)
	if err != nil {
		return secretstore.Held{}, err
	}
	v, err := a.SealedSecret(settings)
	if err != nil {
		return secretstore.Held{}, err
	}
	stored, err := v.Get(ctx)
	if err != nil {
		return stored, err
	}
	if end := settings.Expires; !end.IsZero() && end.Sub(a.Now()) <= secretEndsSoon {
		expires := map[bool]string{true: "expires", false: "expired"}[end.After(a.Now())]
		a.Warn(fmt.Sprintf("the secret %q %s at %s: replace it with 'fob secret rotate %s'", name, expires, end.Format(time.RFC3339), name))
	}
	return stored, nil
}

// secretEndsSoon is how long before its expiry every use of a secret prints a warning.
const secretEndsSoon = 3 * 24 * time.Hour

// SecretExpiring is how long before its expiry 'fob secret list --exit-code' finds a secret.
const SecretExpiring = 14 * 24 * time.Hour

// SecretJSON is what `fob secret list --json` prints of one secret.
type SecretJSON struct {
	Name         string    `json:"name"`
	SetAt        time.Time `json:"set_at,omitzero"`
	ExpiresAt    time.Time `json:"expires_at,omitzero"`
	Storage      string    `json:"storage"`
	Destinations []string  `json:"destinations"`
	Rotation     string    `json:"rotation,omitempty"` // unfinished: asked, delivering or retiring
	RotateWith   string    `json:"rotate_with,omitempty"`
	RetireWith   string    `json:"retire_with,omitempty"`
	Problem      string    `json:"problem,omitempty"`

	Failure error `json:"-"` // why it cannot be read
}

// ShownSecret describes a secret. One that cannot be read is shown with the reason.
func (a *App) ShownSecret(ctx context.Context, cfg *config.Config, s config.Secret) SecretJSON {
	out := SecretJSON{Name: s.Name, ExpiresAt: s.Expires, Destinations: append([]string{}, s.To...), RotateWith: s.RotateWith, RetireWith: s.RetireWith}
	if given, err := a.secretFromEnv(s.Name); err != nil || given != "" {
		out.Storage = FromEnv
		if err != nil {
			out.Problem, out.Failure = err.Error(), err
		}
		return out
	}
	out.Storage, _ = cfg.StorageFor(s.Storage)
	var stored secretstore.Held
	v, err := a.SealedSecret(s)
	if err == nil {
		stored, err = v.Get(ctx)
	}
	switch {
	case errors.Is(err, secretstore.ErrNoValue):
		out.Problem = "no value"
	case err != nil:
		out.Problem, out.Failure = err.Error(), err
	case stored.Stage != secretstore.AtRest:
		out.Problem = fmt.Sprintf("unfinished rotation: run 'fob secret rotate %s --resume'", s.Name)
	}
	out.SetAt, out.Rotation = cli.UTCSeconds(stored.SetAt), string(stored.Stage)
	return out
}

// DeleteSecret deletes a secret's record, and not its settings.
func (a *App) DeleteSecret(ctx context.Context, s config.Secret) error {
	v, err := a.SealedSecret(s)
	if err == nil {
		err = v.Remove(ctx)
	}
	if errors.Is(err, secretstore.ErrNoValue) {
		return nil
	}
	return err
}

// StorageText describes a storage.
func StorageText(name string) string {
	if name == config.StorageKeyring {
		return "the OS keyring"
	}
	return "an encrypted file"
}

// ForgetSecretElsewhere deletes a secret from the storage that it had before.
func ForgetSecretElsewhere(ctx context.Context, a *App, before config.Secret) {
	v, err := a.SealedSecret(before)
	if err == nil {
		v.Current = nil
		err = v.Remove(ctx)
	}
	if err != nil && !errors.Is(err, secretstore.ErrNoValue) {
		a.Warn(fmt.Sprintf("the previous value is still in %s, and could not be deleted: %s", StorageText(before.Storage), err))
	}
}
