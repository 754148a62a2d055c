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

// KnownSecret finds the settings of a secret that config.toml names.
func KnownSecret(cfg *config.Config, name string) (config.Secret, error) {
	s, known := cfg.Secrets[name]
	if known {
		return s, nil
	}
	err := cli.Usagef("there is no secret %q", name)
	if near := cli.Nearest(name, cfg.SecretNames()); near != "" {
		return s, cli.WithHint(err, "did you mean '%s'?", near)
	}
	return s, cli.WithHint(err, "'fob secret list' shows those that there are; 'fob secret set %s' makes it", name)
}

// SealedSecret is a secret where its settings say that it is stored.
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
		return nil, cli.WithHint(fmt.Errorf("the environment holds no secret %q: %w", s.Name, secretstore.ErrNoValue), "set %s, or choose the storage 'keyring' or 'file'", config.SecretVariable(s.Name))
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
		if !known { // not yet, or no more: it is where it was looked for
			return nil
		}
		if moved, err := cfg.StorageFor(now.Storage); err != nil || moved != in {
			return cmp.Or(err, session.ErrMoved)
		}
		return nil
	}
	return v, nil
}

// secretSettings are those of a secret that there is. Where nothing is stored, it needs no
// table either.
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

// secretFromEnv is the value of a secret's variable, or "". A variable that could mean another
// secret too is an error.
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
		return "", cli.WithHint(cli.Usagef("there is no secret %q, and %s belongs to %q", name, variable, other), "did you mean '%s'?", other)
	}
	if other != "" {
		return "", cli.WithHint(cli.Usagef("%s is ambiguous: it belongs to the secret %q as well as to %q", variable, other, name),
			"run 'unset %s' to use the stored values; to use the variable, store one of the two under another name", variable)
	}
	return value, nil
}

// HeldSecret is what 'fob secret get NAME' prints of.
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
	held, err := v.Get(ctx)
	if err != nil {
		return held, err
	}
	if end := settings.Expires; !end.IsZero() && end.Sub(a.Now()) <= secretEndsSoon {
		ends := map[bool]string{true: "ends", false: "has ended"}[end.After(a.Now())]
		a.Warn(fmt.Sprintf("the secret %q %s at %s: 'fob secret rotate %s' replaces it", name, ends, end.Format(time.RFC3339), name))
	}
	return held, nil
}

// secretEndsSoon is how long before its end a secret is spoken of wherever it is used.
const secretEndsSoon = 3 * 24 * time.Hour

// SecretExpiring is how long before its end a secret is something that was found.
const SecretExpiring = 14 * 24 * time.Hour

// SecretJSON is what `fob secret list --json` prints of one secret.
type SecretJSON struct {
	Name         string    `json:"name"`
	SetAt        time.Time `json:"set_at,omitzero"`
	ExpiresAt    time.Time `json:"expires_at,omitzero"`
	Storage      string    `json:"storage"`
	Destinations []string  `json:"destinations"`
	Rotation     string    `json:"rotation,omitempty"` // where one stopped: asked, delivering or retiring
	RotateWith   string    `json:"rotate_with,omitempty"`
	RetireWith   string    `json:"retire_with,omitempty"`
	Problem      string    `json:"problem,omitempty"`

	Failure error // why it cannot be read
}

// ShownSecret is what can be told of a secret. One that cannot be read is shown with the
// reason.
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
	var held secretstore.Held
	v, err := a.SealedSecret(s)
	if err == nil {
		held, err = v.Get(ctx)
	}
	switch {
	case errors.Is(err, secretstore.ErrNoValue):
		out.Problem = "it has no value"
	case err != nil:
		out.Problem, out.Failure = err.Error(), err
	case held.Stage != secretstore.AtRest:
		out.Problem = fmt.Sprintf("its rotation is not at its end: 'fob secret rotate %s --resume'", s.Name)
	}
	out.SetAt, out.Rotation = cli.UTCSeconds(held.SetAt), string(held.Stage)
	return out
}

// DeleteSecret deletes a secret's record; its table stays, which names it.
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

// StorageText is a storage in words.
func StorageText(name string) string {
	if name == config.StorageKeyring {
		return "the OS keyring"
	}
	return "an encrypted file"
}

// ForgetSecretElsewhere deletes a secret where it lay before.
func ForgetSecretElsewhere(ctx context.Context, a *App, before config.Secret) {
	v, err := a.SealedSecret(before)
	if err == nil {
		v.Current = nil
		err = v.Remove(ctx)
	}
	if err != nil && !errors.Is(err, secretstore.ErrNoValue) {
		a.Warn(fmt.Sprintf("the value before is still in %s, and could not be deleted: %s", StorageText(before.Storage), err))
	}
}
