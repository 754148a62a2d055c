package secret

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/delivery"
	"github.com/fobcli/fob/internal/destination"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/secretstore"
)

type rotateOptions struct {
	name       string
	With       string `flag:"with" empty:"refused" help:"the {COMMAND} that prints the new value, or gitlab"`
	FromStdin  bool   `flag:"stdin" not:"with" help:"read the new value from stdin or a prompt"`
	RetireWith string `flag:"retire-with" empty:"refused" help:"the {COMMAND} that revokes the old value"`
	Expires    string `flag:"expires" empty:"refused" help:"{WHEN} the new value expires: 90d, 2027-01-31 or never"`
	Resume     bool   `flag:"resume" not:"stdin" help:"continue an unfinished rotation"`
	Abandon    bool   `flag:"abandon" not:"with stdin resume" help:"abandon an unfinished rotation"`
	Yes        bool   `flag:"yes" help:"do not ask for confirmation"`
	DryRun     bool   `flag:"dry-run" help:"show what would be done, and do nothing"`
	usage.AsFlag
}

func newRotateCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "rotate NAME",
		Short: "Replace a secret at all its destinations",
		Long: `Take a new value from stdin, a prompt or --with, deliver it to all destinations of the
secret, and only then revoke the old one with --retire-with. Until all have the new
value, 'get' and 'exec' use the old one. If a step fails, both are stored, nothing is
revoked, and --resume continues.

--with names a command under [commands] in config.toml that prints the new value, or
gitlab, where an access token replaces itself. The command of --retire-with reads the
old value on stdin; without it, revoke the old value at its issuer yourself. Without a
terminal, such as from cron, a rotation with commands requires --yes.`,
		Example: `  fob secret rotate stripe/prod <new.txt
  fob secret rotate db/prod --with new-password --retire-with drop-password
  fob secret rotate gitlab --with gitlab --expires 90d
  fob secret rotate stripe/prod --resume`,
		Args: oneSecretArg,
	}, rotateOptions{}, runRotate, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

type rotation struct {
	a      *app.App
	opts   rotateOptions
	path   string // of config.toml
	secret *secretstore.Secret
	held   secretstore.Held
	dests  []destination.Destination
	issuer *secretstore.Issuer
}

func runRotate(ctx context.Context, a *app.App, args []string, opts rotateOptions) error {
	opts.name = args[0]
	r, err := planRotation(ctx, a, opts)
	switch {
	case err != nil:
		return err
	case opts.DryRun:
		r.printPlan()
		return nil
	case opts.Abandon:
		return r.abandon(ctx)
	}
	if err := r.confirm(ctx); err != nil {
		return err
	}
	if !opts.Resume {
		if err := delivery.CheckReady(ctx, a, delivery.DestinationNames(r.dests), opts.As, fmt.Sprintf("the secret %q is unchanged", opts.name)); err != nil {
			return err
		}
	}
	steps, err := r.steps(ctx)
	if err != nil {
		return err
	}
	run := r.secret.Rotate
	if opts.Resume {
		run = r.secret.Resume
	}
	if err := run(ctx, steps); err != nil {
		return r.failure(ctx, err)
	}
	a.Note("The secret %q has a new value%s.", opts.name, r.delivered())
	if r.issuer.RetireWith == "" && !r.issuer.OldEnded {
		a.Note("The old value is valid until you revoke it at its issuer.")
	}
	warnOverridden(a, opts.name)
	return nil
}

// planRotation checks everything that can be checked before anything is done.
func planRotation(ctx context.Context, a *app.App, opts rotateOptions) (*rotation, error) {
	cfg, err := a.Config()
	if err != nil {
		return nil, err
	}
	settings, err := app.KnownSecret(cfg, opts.name)
	if err != nil {
		return nil, err
	}
	r := &rotation{a: a, opts: opts, path: cfg.Paths.Config}
	r.issuer = &secretstore.Issuer{
		RetireWith: cmp.Or(opts.RetireWith, settings.RetireWith),
		Run: func(ctx context.Context, command string, stdin secret.Secret) ([]byte, error) {
			return destination.Run(ctx, cfg.Commands[command], os.Environ(), stdin)
		},
		HTTP:      func() (*http.Client, error) { return a.HTTPClient(config.Profile{}) },
		GitLabURL: destination.GitLabURL(cfg.Destination.URL, a.Getenv),
	}
	if !opts.FromStdin {
		r.issuer.RotateWith = cmp.Or(opts.With, settings.RotateWith)
	}
	if err := checkCommands(cfg, r.issuer.RotateWith, r.issuer.RetireWith); err != nil {
		return nil, err
	}
	if opts.Expires != "" {
		if r.issuer.Expires, err = parseExpiry(opts.Expires, a.Now()); err != nil {
			return nil, err
		}
	}
	if r.dests, err = delivery.Destinations(a, settings.To, opts.As); err != nil {
		return nil, err
	}
	if r.secret, err = a.SealedSecret(settings); err != nil {
		return nil, err
	}
	if r.held, err = r.secret.Get(ctx); err != nil {
		return nil, err
	}
	r.issuer.OldEnded = r.held.OldEnded()
	return r, r.secret.CheckStage(r.held.Stage, opts.Resume, opts.Abandon, r.issuer.RotateWith != "")
}

func (r *rotation) printPlan() {
	note, stage, with := r.a.Note, r.held.Stage, r.issuer.RotateWith
	switch {
	case r.opts.Abandon:
		note("would abandon the rotation of %q, and keep the value that 'get' prints.", r.opts.name)
		return
	case stage == secretstore.Delivering || stage == secretstore.Retiring:
		note("would continue with the stored new value of %q.", r.opts.name)
	case with == "":
		note("would read the new value of %q from stdin or a prompt.", r.opts.name)
	default:
		note("would get a new value of %q from %s.", r.opts.name, with)
	}
	if stage != secretstore.Retiring {
		for _, d := range r.dests {
			note("would deliver it to %s.", d.Name())
		}
	}
	switch {
	case with == secretstore.GitLabIssuer:
		note("GitLab revokes the old value at once.")
	case r.issuer.RetireWith != "":
		note("would revoke the old value with %s.", r.issuer.RetireWith)
	default:
		note("would not revoke the old value: revoke it at its issuer.")
	}
}

func (r *rotation) confirm(ctx context.Context) error {
	needless := r.issuer.RotateWith == "" && r.issuer.RetireWith == ""
	question := fmt.Sprintf("Replace the secret %q%s, and revoke the old value?", r.opts.name, r.delivered())
	return confirm(ctx, r.a, r.opts.Yes || needless, question, "replace the secret", r.opts.name)
}

func (r *rotation) delivered() string {
	if len(r.dests) == 0 {
		return ""
	}
	return ", also at " + cli.Plural(len(r.dests), "destination", "destinations")
}

func (r *rotation) abandon(ctx context.Context) error {
	question := fmt.Sprintf("Abandon the rotation of %q, and discard the other value?", r.opts.name)
	if err := confirm(ctx, r.a, r.opts.Yes, question, "discard a value of", r.opts.name); err != nil {
		return err
	}
	if err := r.secret.Abandon(ctx); err != nil {
		return err
	}
	r.a.Note("Abandoned: the secret %q is the value that 'get' prints. To deliver it again, run 'fob secret push %s'.", r.opts.name, r.opts.name)
	return nil
}

// steps returns the steps of the rotation. A value from the user is read and checked first.
func (r *rotation) steps(ctx context.Context) (secretstore.Steps, error) {
	steps := r.issuer.Steps()
	steps.Deliver = r.deliver
	if steps.Mint != nil || r.opts.Resume {
		return steps, nil
	}
	value, err := readValue(ctx, r.a, "rotate", r.opts.name)
	if err != nil {
		return steps, err
	}
	steps.Mint = func(context.Context, secret.Secret) (secretstore.Minted, error) {
		return secretstore.Minted{Value: value}, nil
	}
	return steps, destination.CheckAll(r.dests, value)
}

// deliver delivers the new value, which is stored by now. The destinations are read again:
// some may have been added while fob waited for the user, a lock or the issuer.
func (r *rotation) deliver(ctx context.Context, value secret.Secret) error {
	cfg, err := r.a.Config()
	if err != nil {
		return err
	}
	settings, err := app.KnownSecret(cfg, r.opts.name)
	if err != nil {
		return err
	}
	if r.dests, err = delivery.Destinations(r.a, settings.To, r.opts.As); err != nil {
		return err
	}
	if !r.opts.Resume {
		if err := r.saveExpiry(!settings.Expires.IsZero()); err != nil {
			return err
		}
	}
	if err := destination.CheckAll(r.dests, value); err != nil {
		return err
	}
	_, failed := delivery.DeliverAll(ctx, r.a, r.dests, value, false)
	return failed.Err()
}

// saveExpiry saves when the new value expires, which may differ from the old one's expiry.
func (r *rotation) saveExpiry(hadExpiry bool) error {
	end := r.issuer.Expires
	if end.IsZero() && hadExpiry && r.opts.Expires == "" {
		r.a.Note("The expiry of the new value is unknown; to set it, run 'fob secret set %s --keep --expires 90d'.", r.opts.name)
	}
	if !end.IsZero() {
		r.a.Note("The new value expires at %s.", end.Format(time.RFC3339))
	}
	return config.ChangeSecret(r.path, r.opts.name, func(s *config.Secret) { s.Expires = end })
}

// failure adds to the error of a rotation what is stored now, and how to continue.
func (r *rotation) failure(ctx context.Context, err error) error {
	if unkept, ok := errors.AsType[*secretstore.UnkeptError](err); ok {
		if r.issuer.RotateWith == "" { // the user has the value
			return err
		}
		return r.printUnsaved(unkept)
	}
	held, readErr := r.secret.Get(context.WithoutCancel(ctx))
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	failed := cli.FailuresIn(err)
	name, resume := r.opts.name, "fix the errors above, then run 'fob secret rotate %s --resume'"
	switch {
	case held.Stage == secretstore.Delivering:
		failed = append(failed, cli.WithHint(cli.Unfinishedf("both values of %q are stored, and fob revoked neither", name), resume, name))
	case held.Stage == secretstore.Retiring:
		failed = append(failed, cli.WithHint(cli.Unfinishedf("the new value of %q is delivered everywhere; the old one is stored until it is revoked", name), resume, name))
	case held.Stage == secretstore.Asked && !errors.Is(err, secretstore.ErrUnanswered):
		failed = append(failed, cli.WithHint(cli.Unfinishedf("%s was asked for a new value of %q, and returned none", r.issuer.RotateWith, name),
			"check at the issuer whether there is one; 'fob secret rotate %s' asks again, '--abandon' does not", name))
	}
	return failed.Err()
}

// printUnsaved prints a value that could not be stored, the only copy.
func (r *rotation) printUnsaved(unkept *secretstore.UnkeptError) error {
	if _, err := fmt.Fprintln(r.a.Out.Raw(), unkept.Value.Reveal()); err != nil {
		return errors.Join(unkept, err)
	}
	text := "the old one is still valid"
	if unkept.OldEnded {
		text = "the old one is revoked"
	}
	return cli.WithHint(fmt.Errorf("%w; %s, and the new one is only on stdout", unkept, text),
		"once the storage works, store it with 'fob secret set %s'; 'fob doctor' finds what is wrong", sanitize.Line(r.opts.name))
}
