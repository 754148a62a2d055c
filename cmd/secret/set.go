package secret

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/delivery"
	"github.com/fobcli/fob/internal/records"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/secretstore"
)

type setOptions struct {
	name       string
	Expires    string   `flag:"expires" empty:"refused" help:"{WHEN} it expires at its issuer: 90d, 2027-01-31 or never"`
	To         []string `flag:"to" empty:"refused" help:"add a {DESTINATION} for push and rotate; repeatable"`
	Storage    string   `flag:"storage" values:"keyring file" empty:"refused" help:"where to store it: {STORAGE} is keyring or file"`
	RotateWith string   `flag:"rotate-with" empty:"refused" help:"the {COMMAND} that prints a new value, or gitlab"`
	RetireWith string   `flag:"retire-with" empty:"refused" help:"the {COMMAND} that revokes an old value"`
	Keep       bool     `flag:"keep" help:"only change the settings, not the value"`
	usage.ForceFlag
}

func newSetCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "set NAME",
		Short: "Store a secret, or a new value of it",
		Long: `Read a secret from stdin or a prompt and store it sealed. It may have several lines;
one newline at its end is removed, and 'get' prints one.

Settings are stored in config.toml, and only change where a flag says so; --keep
changes them and not the value. Copies are not updated: see 'fob secret push', or
'fob secret rotate' for a value that is in use.`,
		Example: `  fob secret set stripe/prod --expires 90d
  fob secret set deploy-key <id_ed25519
  fob secret set stripe/prod --keep --to dotenv:/srv/shop/.env#STRIPE_KEY`,
		Args: oneSecretArg,
	}, setOptions{}, runSet, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func runSet(ctx context.Context, a *app.App, args []string, opts setOptions) error {
	opts.name = args[0]
	a.MakesConfig = true
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	before, known := cfg.Secrets[opts.name]
	before.Name = opts.name
	if !known && opts.Keep {
		_, err := app.KnownSecret(cfg, opts.name)
		return err
	}
	if err := cfg.CheckNewSecret(opts.name); err != nil {
		return secretstore.ForSecret(err, opts.name)
	}
	after, err := applySettings(a, cfg, before, opts)
	if err != nil {
		return err
	}
	if after.Storage == config.StorageNone {
		return cli.WithHint(cli.Usagef("the storage 'none' stores no secrets"), "set %s, or choose 'keyring' or 'file' with --storage", config.SecretVariable(opts.name))
	}
	if err := delivery.CheckConflicts(ctx, a, after.To, before.To, opts.Force); err != nil {
		return err
	}
	if opts.Keep {
		return config.SaveSecret(cfg.Paths.Config, after)
	}
	if !known {
		if err := records.CheckNewSecret(ctx, a, opts.name, after.Storage); err != nil {
			return err
		}
	}
	value, err := readValue(ctx, a, "set", opts.name)
	if err != nil {
		return err
	}
	change := secretstore.Change{Path: cfg.Paths.Config, Before: before, After: after, IsNew: !known}
	if change.New, err = a.SealedSecret(after); err != nil {
		return err
	}
	change.Old, _ = a.SealedSecret(before)
	if err := change.Save(ctx, value); err != nil {
		return secretstore.ForSecret(err, opts.name)
	}
	if change.Moves() {
		app.ForgetSecretElsewhere(ctx, a, before)
	}
	a.Note("Stored the secret %q in %s.", opts.name, app.StorageText(after.Storage))
	warnOverridden(a, opts.name)
	if len(after.To) > 0 {
		a.Note("Its copies are not updated: run 'fob secret push %s' to deliver it.", opts.name)
	}
	return nil
}

// warnOverridden warns of a variable that takes precedence over the stored value.
func warnOverridden(a *app.App, name string) {
	if variable := config.SecretVariable(name); a.Getenv(variable) != "" {
		a.Warn(variable + " is set and overrides the stored value")
	}
}

func applySettings(a *app.App, cfg *config.Config, s config.Secret, opts setOptions) (config.Secret, error) {
	var err error
	if opts.Expires != "" {
		if s.Expires, err = parseExpiry(opts.Expires, a.Now()); err != nil {
			return s, err
		}
	}
	dests, err := delivery.Destinations(a, opts.To, nil)
	if err != nil {
		return s, err
	}
	s.To = delivery.AddNames(s.To, delivery.DestinationNames(dests))
	if err := checkCommands(cfg, opts.RotateWith, opts.RetireWith); err != nil {
		return s, err
	}
	s.RotateWith, s.RetireWith = cmp.Or(opts.RotateWith, s.RotateWith), cmp.Or(opts.RetireWith, s.RetireWith)
	if opts.Storage != "" {
		if opts.Keep {
			return s, cli.WithHint(cli.Usagef("--keep cannot move the value to another storage"), "run 'fob storage migrate --to %s' to move it", opts.Storage)
		}
		s.Storage = opts.Storage
	}
	s.Storage, err = cfg.StorageFor(s.Storage)
	return s, err
}

// parseExpiry reads when a secret expires, to the second.
func parseExpiry(text string, now time.Time) (time.Time, error) {
	at, err := cli.ParseWhen(text, now)
	return at.Truncate(time.Second), err
}

func checkCommands(cfg *config.Config, rotateWith, retireWith string) error {
	for _, name := range []string{rotateWith, retireWith} {
		if name == "" || name == secretstore.GitLabIssuer && name == rotateWith {
			continue
		}
		if len(cfg.Commands[name]) == 0 {
			return cli.WithHint(cli.Usagef("config.toml has no command %.40q", name), "add it under [commands]: NAME = [\"PROGRAM\", \"ARGUMENT\"]")
		}
	}
	return nil
}

func readValue(ctx context.Context, a *app.App, command, name string) (secret.Secret, error) {
	if cli.IsTerminal(a.In) {
		prompt := "Value of " + name + ":"
		if command == "rotate" {
			prompt = "New value of " + name + ":"
		}
		value, err := a.SecretOnStdin(ctx, prompt)
		if err == nil {
			err = secretstore.CheckValue(value)
		}
		return value, err
	}
	text, err := io.ReadAll(io.LimitReader(sanitize.NewReader(a.In), secretstore.MaxValue+2))
	if err != nil {
		return secret.Secret{}, fmt.Errorf("reading a secret from stdin: %w", err)
	}
	value := secret.New(strings.TrimSuffix(string(text), "\n"))
	return value, cli.WithHint(cli.AsUsage(secretstore.CheckValue(value)), "pipe the value, as in 'fob secret %s %s <FILE': at most 64 KiB, without NUL bytes; convert Windows line endings with tr -d '\\r'", command, name)
}
