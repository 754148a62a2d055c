package cmd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/session"
	"github.com/fobcli/fob/internal/spelling"
	"github.com/fobcli/fob/internal/vault"
)

func newSecretCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "secret",
		Short: "Keep, deliver and replace what others issued to you",
		Long: `Keep secrets that others have issued to you (an API key of Stripe's, a password, a
private key) sealed in fob's storage, give them to programs, bring them to where
machines need them, and replace them.

A name may have parts, for instance an environment: stripe/test and stripe/prod.`,
		Example: `  fob secret set stripe/prod --expires 90d
  fob exec --env STRIPE_KEY=secret/stripe/prod -- ./shop
  fob secret list`,
		Args: noSuchCommand,
		RunE: showHelp,
	}
	c.AddCommand(newSecretSetCmd(a), newSecretGetCmd(a), newSecretListCmd(a), newSecretPushCmd(a), newSecretRotateCmd(a), newSecretRemoveCmd(a))
	return c
}

// oneSecret accepts the name of one secret. What is no name may be the secret itself,
// and is not shown.
func oneSecret(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return withHint(usagef("'%s' takes the name of one secret", cmd.CommandPath()), "as in stripe or stripe/prod; the secret itself comes from stdin or a prompt")
	}
	if config.ValidSecretName(args[0]) != nil {
		return withHint(usagef("that is no name of a secret"), "as in stripe or stripe/prod: a-z, 0-9 and -, four parts at most; the secret itself comes from stdin or a prompt")
	}
	return nil
}

// knownSecret finds the settings of a secret that config.toml names.
func knownSecret(cfg *config.Config, name string) (config.Secret, error) {
	s, known := cfg.Secrets[name]
	if known {
		return s, nil
	}
	err := usagef("there is no secret %q", name)
	if near := spelling.Nearest(name, cfg.SecretNames()); near != "" {
		return s, withHint(err, "did you mean '%s'?", near)
	}
	return s, withHint(err, "'fob secret list' shows those that there are; 'fob secret set %s' makes it", name)
}

// sealedSecret is a secret where its settings say that it lies.
func (a *app) sealedSecret(cfg *config.Config, s config.Secret) (*vault.Secret, error) {
	p := config.Profile{Name: s.Name, Storage: s.Storage}
	if name, err := a.storageName(cfg, p); err == nil && name == storageEnv {
		return nil, withHint(fmt.Errorf("the environment holds no secret %q: %w", s.Name, vault.ErrNoValue), "set %s, or choose the storage 'keyring' or 'file'", config.SecretVariable(s.Name))
	}
	store, err := a.store(cfg, p)
	if err != nil {
		return nil, err
	}
	v := &vault.Secret{Name: s.Name, Store: store, Dir: filepath.Join(cfg.Paths.Data, "locks"), Now: a.now}
	v.Current = func() error {
		cfg, err := a.config()
		if err != nil {
			return err
		}
		// One that is not in the configuration yet, or no more, lies where it was looked for.
		if now, known := cfg.Secrets[s.Name]; known {
			return a.stillStored(cfg, config.Profile{Name: s.Name, Storage: now.Storage}, store)
		}
		return nil
	}
	return v, nil
}

// secretSettings are those of a secret that there is.
func (a *app) secretSettings(cfg *config.Config, name string) (config.Secret, error) {
	settings, err := knownSecret(cfg, name)
	if in, _ := a.storageName(cfg, config.Profile{}); err != nil && in == storageEnv {
		return config.Secret{Name: name}, nil // the environment has no table either
	}
	return settings, err
}

// givenSecret is the value of a secret's variable, or "". A variable that could mean another
// secret too is an error.
func (a *app) givenSecret(name string) (string, error) {
	variable := config.SecretVariable(name)
	value := a.getenv(variable)
	if value == "" {
		return "", nil
	}
	cfg, err := a.config()
	if err != nil {
		return "", err
	}
	other := cfg.SharingVariable(name)
	if _, known := cfg.Secrets[name]; other != "" && !known {
		return "", withHint(usagef("there is no secret %q, and %s belongs to %q", name, variable, other), "did you mean '%s'?", other)
	}
	if other != "" {
		return "", withHint(usagef("%s is ambiguous: it belongs to the secret %q as well as to %q", variable, other, name),
			"run 'unset %s' to use the stored values; to use the variable, store one of the two under another name", variable)
	}
	return value, nil
}

// heldSecret is what 'fob secret get NAME' prints of.
func (a *app) heldSecret(ctx context.Context, name string) (vault.Held, error) {
	if value, err := a.givenSecret(name); err != nil || value != "" {
		return vault.Held{Value: secret.New(value)}, err
	}
	cfg, err := a.config()
	if err != nil {
		return vault.Held{}, err
	}
	settings, err := a.secretSettings(cfg, name)
	if err != nil {
		return vault.Held{}, err
	}
	v, err := a.sealedSecret(cfg, settings)
	if err != nil {
		return vault.Held{}, err
	}
	held, err := v.Get(ctx)
	if err != nil {
		return held, hintOfSecret(err, name)
	}
	a.warnOfSecretEnd(settings)
	return held, nil
}

// secretEndsSoon is how long before its end a secret is spoken of wherever it is used.
const secretEndsSoon = 3 * 24 * time.Hour

func (a *app) warnOfSecretEnd(s config.Secret) {
	switch left := s.Expires.Sub(a.now()); {
	case s.Expires.IsZero() || left > secretEndsSoon:
	case left <= 0:
		a.warn(fmt.Sprintf("the secret %q has ended at %s: 'fob secret rotate %s' replaces it", s.Name, s.Expires.Format(time.RFC3339), s.Name))
	default:
		a.warn(fmt.Sprintf("the secret %q ends at %s: 'fob secret rotate %s' replaces it", s.Name, s.Expires.Format(time.RFC3339), s.Name))
	}
}

// endingSecrets are those that end within a time, or have ended, the first to end first.
func (a *app) endingSecrets(cfg *config.Config, within time.Duration) []config.Secret {
	var ending []config.Secret
	for _, name := range cfg.SecretNames() {
		if s := cfg.Secrets[name]; !s.Expires.IsZero() && s.Expires.Sub(a.now()) <= within {
			ending = append(ending, s)
		}
	}
	slices.SortStableFunc(ending, func(s, t config.Secret) int { return s.Expires.Compare(t.Expires) })
	return ending
}

// noteEndingSecrets names those that 'fob secret list --exit-code' would find.
func (a *app) noteEndingSecrets(cfg *config.Config) {
	for _, s := range a.endingSecrets(cfg, secretExpiring) {
		if s.Expires.After(a.now()) {
			a.note("The secret %q ends %s.", s.Name, leftText(s.Expires, a.now()))
		} else {
			a.note("The secret %q has ended.", s.Name)
		}
	}
}

// hintOfSecret says what to do about a secret that cannot be read, kept or replaced.
func hintOfSecret(err error, name string) error {
	var hinted *hintError
	if err == nil || errors.As(err, &hinted) {
		return err
	}
	hint := hintFor(err, []errorHint{
		hintOn(vault.ErrNoValue, "give it one: 'fob secret set NAME'"),
		hintOn(vault.ErrOpen, "go on with it: 'fob secret rotate NAME --resume'; or keep what is in force: 'fob secret rotate NAME --abandon'"),
		hintOn(vault.ErrNotOpen, "'fob secret rotate NAME' begins one"),
		hintOn(config.ErrShared, "choose another name, for instance: fob secret set NAME-2"),
		hintOn(vault.ErrUnanswered, "see at the issuer whether there is a new value, then 'fob secret set NAME'; or ask once more: 'fob secret rotate NAME'"),
		hintOn(vault.ErrSame, "get a new one from its issuer first"),
		hintOn(vault.ErrValue, "give the secret itself, 64 KiB at most; of a file with Windows' line ends: tr -d '\\r'"),
		hintOn(session.ErrMoved, "try again: nothing is lost"),
	})
	if hint != "" {
		return withHint(err, "%s", strings.ReplaceAll(hint, "NAME", name))
	}
	hint = hintOfKept(err)
	if isForeign(err) {
		hint += fmt.Sprintf("; to start over, 'fob secret remove %s'", name)
	}
	if hint != "" {
		return withHint(err, "%s", hint)
	}
	return err
}

// isForeign reports whether something other than fob wrote a record.
func isForeign(err error) bool {
	return errors.Is(err, seal.ErrTampered) || errors.Is(err, seal.ErrWrongContext) || errors.Is(err, credstore.ErrCorrupt)
}

// hintOfKept says how to get at what nobody gives a second time, and a new login does
// not bring back.
func hintOfKept(err error) string {
	if isForeign(err) {
		return "something other than fob changed it: find out what; a backup has it, if you made one: 'fob storage restore'"
	}
	return hintFor(err, []errorHint{
		hintOn(seal.ErrWrongKey, "give the key or passphrase that it was saved under: FOB_SEAL_KEY, or key_file in config.toml"),
		hintOn(credstore.ErrNoKey, "give the key or passphrase that it was saved under: FOB_SEAL_KEY, or key_file in config.toml"),
		hintOn(credstore.ErrAbsent, "use encrypted files: 'storage = \"file\"' in config.toml, or FOB_STORAGE=file; 'fob doctor' says what is missing"),
		hintOn(credstore.ErrLocked, "unlock the keyring, then try again"),
		hintOn(credstore.ErrTimeout, "unlock the keyring, then try again"),
	})
}
