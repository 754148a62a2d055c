package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/vault"
)

type secretSetOptions struct {
	name       string
	expires    string
	to         []string
	storage    string
	rotateWith string
	retireWith string
	keep       bool
	force      bool
}

func newSecretSetCmd(a *app) *cobra.Command {
	var opts secretSetOptions
	c := &cobra.Command{
		Use:   "set NAME",
		Short: "Keep a secret, or another value of it",
		Long: `Read a secret from stdin, or ask for it without showing it, and keep it sealed. It may
have lines, as private keys do; one line break at its end is cut, and 'get' prints one.

Its other settings stand in config.toml and stay as they are where no flag changes
them; with --keep they alone are changed. Copies elsewhere are not: see 'fob secret
push', and 'fob secret rotate' for a value that others still use.

` + exitHelp(exitDone, exitFailed, exitUsage, exitStorage, exitLockTimeout, exitInterrupted),
		Example: `  fob secret set stripe/prod --expires 90d
  fob secret set deploy-key <id_ed25519
  fob secret set stripe/prod --keep --to dotenv:/srv/shop/.env#STRIPE_KEY`,
		Args:              oneSecret,
		ValidArgsFunction: completionsOf(a).completeSecrets,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.name = args[0]
			return runSecretSet(cmd.Context(), a, opts)
		},
	}
	flags := c.Flags()
	flags.StringVar(&opts.expires, "expires", "", "`WHEN` its issuer ends it: 90d, 2027-01-31, or never")
	flags.StringArrayVar(&opts.to, "to", nil, "note that a copy belongs here: a `DESTINATION`; repeatable")
	flags.StringVar(&opts.storage, "storage", "", "the `STORAGE` to keep it in: keyring or file")
	flags.StringVar(&opts.rotateWith, "rotate-with", "", "the `COMMAND` that gives a new value, or gitlab")
	flags.StringVar(&opts.retireWith, "retire-with", "", "the `COMMAND` that ends an old value")
	flags.BoolVar(&opts.keep, "keep", false, "read no value: change the settings alone")
	forceFlag(c, &opts.force)
	refuseEmpty(c, "expires", "to", "storage", "rotate-with", "retire-with")
	_ = c.RegisterFlagCompletionFunc("storage", completeStorage)
	_ = c.RegisterFlagCompletionFunc("rotate-with", completionsOf(a).completeCommands(rotatorGitLab))
	_ = c.RegisterFlagCompletionFunc("retire-with", completionsOf(a).completeCommands())
	return c
}

func runSecretSet(ctx context.Context, a *app, opts secretSetOptions) error {
	a.makesConfig = true
	cfg, err := a.config()
	if err != nil {
		return err
	}
	before, known := cfg.Secrets[opts.name]
	before.Name = opts.name
	if !known && opts.keep {
		_, err := knownSecret(cfg, opts.name)
		return err
	}
	if err := cfg.CheckNewSecret(opts.name); err != nil {
		return hintOfSecret(err, opts.name)
	}
	after, err := a.applySecretSet(cfg, before, opts)
	if err != nil {
		return err
	}
	if after.Storage == storageEnv {
		return withHint(usagef("storage 'env' cannot store secrets"), "set %s, or choose 'keyring' or 'file' with --storage", config.SecretVariable(opts.name))
	}
	if places := newPlaces(after.To, before.To); !opts.force {
		if err := a.refuseTaken(ctx, places); err != nil {
			return err
		}
	}
	if opts.keep {
		return config.SaveSecret(cfg.Paths.Config, after)
	}
	value, err := a.readSecretValue(ctx, opts.name)
	if err != nil {
		return err
	}
	if err := a.keepSecret(ctx, cfg, known, before, after, value); err != nil {
		return hintOfSecret(err, opts.name)
	}
	a.note("The secret %q is kept in %s.", opts.name, storageText(after.Storage))
	if a.getenv(config.SecretVariable(opts.name)) != "" {
		a.warn(config.SecretVariable(opts.name) + " is set and overrides the stored value")
	}
	if len(after.To) > 0 {
		a.note("Copies elsewhere are as they were: 'fob secret push %s' brings it to them.", opts.name)
	}
	return nil
}

// applySecretSet puts the flags that were given into a secret's settings.
func (a *app) applySecretSet(cfg *config.Config, s config.Secret, opts secretSetOptions) (config.Secret, error) {
	var err error
	if opts.expires != "" {
		if s.Expires, err = secretEnd(opts.expires, a.now()); err != nil {
			return s, err
		}
	}
	to, err := a.destinations(opts.to, nil)
	if err != nil {
		return s, err
	}
	for _, name := range namesOf(to) {
		if !slices.Contains(s.To, name) {
			s.To = append(slices.Clone(s.To), name)
		}
	}
	if err := checkNamedCommands(cfg, opts.rotateWith, opts.retireWith); err != nil {
		return s, err
	}
	s.RotateWith, s.RetireWith = cmp.Or(opts.rotateWith, s.RotateWith), cmp.Or(opts.retireWith, s.RetireWith)
	if opts.storage != "" {
		if opts.keep {
			return s, withHint(usagef("--keep reads no value that could be put into another storage"), "'fob storage migrate --to %s' moves it", opts.storage)
		}
		if err := checkStorage(opts.storage); err != nil {
			return s, err
		}
		s.Storage = opts.storage
	}
	s.Storage, err = a.storageName(cfg, config.Profile{Storage: s.Storage})
	return s, err
}

// secretEnd reads when a secret ends: a day, or a time of it where that was given.
func secretEnd(text string, now time.Time) (time.Time, error) {
	at, err := parseWhen(text, now)
	const day = 24 * time.Hour
	if err == nil && at.Sub(now) > day {
		at = at.Truncate(day)
	}
	return at.Truncate(time.Second), err
}

// rotatorGitLab is the issuer that fob can ask for a new value by itself.
const rotatorGitLab = "gitlab"

// checkNamedCommands refuses commands that config.toml does not have.
func checkNamedCommands(cfg *config.Config, rotateWith, retireWith string) error {
	for _, name := range []string{rotateWith, retireWith} {
		if name == "" || name == rotatorGitLab && name == rotateWith {
			continue
		}
		if len(cfg.Commands[name]) == 0 {
			return withHint(usagef("the configuration has no command %.40q", name), "name it there: under [commands], a line NAME = [\"PROGRAM\", \"ARGUMENT\"]")
		}
	}
	return nil
}

// readSecretValue reads a secret from stdin or a prompt.
func (a *app) readSecretValue(ctx context.Context, name string) (secret.Secret, error) {
	const hint = "give the secret itself on stdin, 64 KiB at most and without a NUL; of a file with Windows' line ends: tr -d '\\r'"
	if tty, ok := a.stdin.(*os.File); ok && isTerminal(tty) {
		value, err := a.secretOnStdin(ctx, "Value of "+name+":")
		if err == nil {
			err = vault.CheckValue(value)
		}
		return value, err
	}
	text, err := io.ReadAll(io.LimitReader(a.stdin, vault.MaxValue+2))
	if err != nil {
		return secret.Secret{}, fmt.Errorf("reading a secret from stdin: %w", err)
	}
	value := secret.New(strings.TrimSuffix(string(text), "\n"))
	if err := vault.CheckValue(value); err != nil {
		return value, withHint(usageOf(err), hint)
	}
	return value, nil
}

// keepSecret keeps a value and the settings. These are written first: what no table names
// nobody finds again.
func (a *app) keepSecret(ctx context.Context, cfg *config.Config, known bool, before, after config.Secret, value secret.Secret) error {
	v, err := a.sealedSecret(cfg, after)
	if err != nil {
		return err
	}
	if old, err := a.sealedSecret(cfg, before); known && err == nil && old.Store != v.Store {
		return a.keepElsewhere(ctx, cfg, old, v, before, after, value)
	}
	if err := config.SaveSecret(cfg.Paths.Config, after); err != nil {
		return err
	}
	if err := v.Set(ctx, value); err != nil {
		if known {
			return errors.Join(err, config.SaveSecret(cfg.Paths.Config, before))
		}
		return errors.Join(err, config.RemoveSecret(cfg.Paths.Config, after.Name))
	}
	return nil
}

// keepElsewhere keeps a value in another storage than the one before: there first, and
// what the settings name is whole all the time.
func (a *app) keepElsewhere(ctx context.Context, cfg *config.Config, old, v *vault.Secret, before, after config.Secret, value secret.Secret) error {
	if held, err := old.Get(ctx); err == nil && held.Stage != vault.AtRest {
		return fmt.Errorf("secret %q: %w", after.Name, vault.ErrOpen)
	}
	v.Current = nil // the table points there next
	if err := v.Set(ctx, value); err != nil {
		return err
	}
	if err := config.SaveSecret(cfg.Paths.Config, after); err != nil {
		return err
	}
	a.forgetSecretElsewhere(ctx, cfg, before)
	return nil
}

func storageText(name string) string {
	if name == storageKeyring {
		return "the OS keyring"
	}
	return "an encrypted file"
}
