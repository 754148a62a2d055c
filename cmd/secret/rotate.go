package secret

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/complete"
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

type secretRotateOptions struct {
	name            string
	with            string
	fromStdin       bool
	retireWith      string
	as              []string
	expires         string
	resume, abandon bool
	yes, dryRun     bool
}

func newSecretRotateCmd(a *app.App) *cobra.Command {
	var opts secretRotateOptions
	c := &cobra.Command{
		Use:   "rotate NAME",
		Short: "Replace a secret, everywhere, and end the old value",
		Long: `Take a new value (from stdin, a prompt, or what --with names), bring it to all
destinations of the secret, and only then let --retire-with end the old one.
Until all have the new value, 'get' and 'exec' give out the old one. Where
something fails, both are kept, nothing is ended, and --resume goes on.

--with names a program under [commands] in config.toml, which prints the new
value; or gitlab, where an access token replaces itself and ends at once. What
--retire-with names reads the old value on stdin; without it the old value is
yours to end.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted),
		Example: `  fob secret rotate stripe/prod <new.txt
  fob secret rotate db/prod --with new-password --retire-with drop-password
  fob secret rotate gitlab --with gitlab --expires 90d
  fob secret rotate stripe/prod --resume`,
		Args:              oneSecretArg,
		ValidArgsFunction: complete.New(a).Secrets,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.name = args[0]
			return runSecretRotate(cmd.Context(), a, opts)
		},
	}
	flags := c.Flags()
	flags.StringVar(&opts.with, "with", "", "the `COMMAND` that gives the new value, or gitlab")
	flags.BoolVar(&opts.fromStdin, "stdin", false, "take the new value from stdin or a prompt")
	flags.StringVar(&opts.retireWith, "retire-with", "", "the `COMMAND` that ends the old value")
	flags.StringArrayVar(&opts.as, "as", nil, "show the platform this login: `[PLATFORM=]PROFILE`")
	flags.StringVar(&opts.expires, "expires", "", "`WHEN` the new value ends: 90d, 2027-01-31, or never")
	flags.BoolVar(&opts.resume, "resume", false, "go on with a rotation that has stopped")
	flags.BoolVar(&opts.abandon, "abandon", false, "give up a rotation that has stopped")
	flags.BoolVar(&opts.yes, "yes", false, "do not ask")
	flags.BoolVar(&opts.dryRun, "dry-run", false, "say what would be done, and do nothing")
	usage.RefuseEmpty(c, "with", "retire-with", "as", "expires")
	_ = c.RegisterFlagCompletionFunc("with", complete.New(a).Commands(rotatorGitLab))
	_ = c.RegisterFlagCompletionFunc("retire-with", complete.New(a).Commands())
	usage.Exclusive(c, "with", "stdin", "abandon")
	usage.Exclusive(c, "resume", "stdin")
	usage.Exclusive(c, "resume", "abandon")
	return c
}

// secretRotation is one rotation, from its plan to its end.
type secretRotation struct {
	a        *app.App
	cfg      *config.Config
	opts     secretRotateOptions
	settings config.Secret
	vault    *secretstore.Secret
	held     secretstore.Held
	to       []destination.Destination
	with     string // empty: the new value is given
	retire   string // empty: nobody ends the old one
	expires  time.Time
	oldEnded bool // by its issuer
}

func runSecretRotate(ctx context.Context, a *app.App, opts secretRotateOptions) error {
	r, err := planRotation(ctx, a, opts)
	if err != nil {
		return err
	}
	if opts.dryRun {
		r.printPlan()
		return nil
	}
	if opts.abandon {
		return r.abandon(ctx)
	}
	if err := r.confirm(ctx); err != nil {
		return err
	}
	steps, err := r.steps(ctx)
	if err != nil {
		return err
	}
	if opts.resume {
		err = r.vault.Resume(ctx, steps)
	} else {
		err = r.vault.Rotate(ctx, steps)
	}
	if err != nil {
		return r.explainFailure(ctx, err)
	}
	a.Note("The secret %q has a new value%s.", opts.name, r.deliveredText())
	if r.retire == "" && !r.oldEnded {
		a.Note("The old one is good until you end it at its issuer.")
	}
	if name := config.SecretVariable(opts.name); a.Getenv(name) != "" {
		a.Warn(name + " is set and overrides the stored value")
	}
	return nil
}

// planRotation finds out all that can be known before anything is done.
func planRotation(ctx context.Context, a *app.App, opts secretRotateOptions) (*secretRotation, error) {
	cfg, err := a.Config()
	if err != nil {
		return nil, err
	}
	r := &secretRotation{a: a, cfg: cfg, opts: opts}
	if r.settings, err = app.KnownSecret(cfg, opts.name); err != nil {
		return nil, err
	}
	r.retire = cmp.Or(opts.retireWith, r.settings.RetireWith)
	if r.with = cmp.Or(opts.with, r.settings.RotateWith); opts.fromStdin {
		r.with = ""
	}
	if err := checkNamedCommands(cfg, r.with, r.retire); err != nil {
		return nil, err
	}
	if opts.expires != "" {
		if r.expires, err = parseExpiry(opts.expires, a.Now()); err != nil {
			return nil, err
		}
	}
	if r.to, err = delivery.Destinations(a, r.settings.To, opts.as); err != nil {
		return nil, err
	}
	if r.vault, err = a.SealedSecret(r.settings); err != nil {
		return nil, err
	}
	if r.held, err = r.vault.Get(ctx); err != nil {
		return nil, app.HintOfSecret(err, opts.name)
	}
	r.oldEnded = r.held.OldEnded()
	return r, r.checkStage()
}

// checkStage refuses what does not fit how far the secret's last rotation has come.
func (r *secretRotation) checkStage() error {
	var err error
	goesOn := r.opts.resume || r.opts.abandon
	switch stage := r.held.Stage; {
	case stage == secretstore.AtRest && goesOn:
		err = secretstore.ErrNotOpen
	case (stage == secretstore.Delivering || stage == secretstore.Retiring) && !goesOn:
		err = secretstore.ErrOpen
	case stage == secretstore.Asked && r.opts.resume && r.with == "":
		err = secretstore.ErrUnanswered
	}
	if err == nil {
		return nil
	}
	return app.HintOfSecret(fmt.Errorf("secret %q: %w", r.opts.name, err), r.opts.name)
}

// printPlan prints what the rotation would do from here on.
func (r *secretRotation) printPlan() {
	note, stage := r.a.Note, r.held.Stage
	switch {
	case r.opts.abandon:
		note("would give up the rotation of %q, and keep the value that 'get' prints.", r.opts.name)
		return
	case stage == secretstore.Delivering || stage == secretstore.Retiring:
		note("would go on with the new value of %q that is kept.", r.opts.name)
	case r.with == "":
		note("would take the new value of %q from stdin or a prompt.", r.opts.name)
	default:
		note("would get a new value of %q from %s.", r.opts.name, r.with)
	}
	if stage != secretstore.Retiring {
		for _, d := range r.to {
			note("would deliver it to %s.", d.Name())
		}
	}
	switch {
	case r.with == rotatorGitLab:
		note("GitLab ends the old one at once.")
	case r.retire != "":
		note("would end the old one with %s.", r.retire)
	default:
		note("would leave the old one for you to end at its issuer.")
	}
}

// confirm asks before something is ended that a person cannot bring back.
func (r *secretRotation) confirm(ctx context.Context) error {
	if r.opts.yes || r.with == "" && r.retire == "" {
		return nil
	}
	unasked := cli.WithHint(cli.Usagef("this replaces the secret %q, and there is nobody to ask", r.opts.name), "see what it would do with --dry-run, then give --yes")
	return r.a.Confirm(ctx, fmt.Sprintf("Replace the secret %q%s, and end the old value?", r.opts.name, r.deliveredText()), unasked)
}

func (r *secretRotation) deliveredText() string {
	if len(r.to) == 0 {
		return ""
	}
	return ", also at " + cli.Plural(len(r.to), "destination", "destinations")
}

func (r *secretRotation) abandon(ctx context.Context) error {
	if !r.opts.yes {
		unasked := cli.WithHint(cli.Usagef("this gives up a value of %q, and there is nobody to ask", r.opts.name), "see what it would do with --dry-run, then give --yes")
		if err := r.a.Confirm(ctx, fmt.Sprintf("Give up the rotation of %q?", r.opts.name), unasked); err != nil {
			return err
		}
	}
	if err := r.vault.Abandon(ctx); err != nil {
		return app.HintOfSecret(err, r.opts.name)
	}
	r.a.Note("The secret %q is what 'get' prints. What another value reached stays so: 'fob secret push %s' brings this one there.", r.opts.name, r.opts.name)
	return nil
}

// steps are what the rotation does outside. A value that is given is read and judged
// before any of it.
func (r *secretRotation) steps(ctx context.Context) (secretstore.Steps, error) {
	steps := secretstore.Steps{Asks: r.with != "", Deliver: r.deliver}
	if r.retire != "" {
		steps.Retire = func(ctx context.Context, old secret.Secret) error {
			_, err := destination.Run(ctx, r.cfg.Commands[r.retire], os.Environ(), old)
			return err
		}
	}
	switch {
	case r.with == rotatorGitLab:
		steps.Mint = r.mintAtGitLab
	case r.with != "":
		steps.Mint = r.mintWithCommand
	case !r.opts.resume:
		value, err := readSecretValue(ctx, r.a, r.opts.name)
		if err != nil {
			return steps, err
		}
		if err := destination.CheckAll(r.to, value); err != nil {
			return steps, err
		}
		steps.Mint = func(context.Context, secret.Secret) (secretstore.Minted, error) {
			return secretstore.Minted{Value: value}, nil
		}
	}
	return steps, nil
}

// mintWithCommand lets a program make a new value. It is told nothing of the old one.
func (r *secretRotation) mintWithCommand(ctx context.Context, _ secret.Secret) (secretstore.Minted, error) {
	out, err := destination.Run(ctx, r.cfg.Commands[r.with], os.Environ(), secret.Secret{})
	if ctx.Err() != nil {
		return secretstore.Minted{}, errors.Join(secretstore.ErrUnanswered, ctx.Err())
	}
	if err != nil {
		return secretstore.Minted{}, err
	}
	value := secret.New(strings.TrimSuffix(strings.TrimSuffix(string(out), "\n"), "\r"))
	if err := secretstore.CheckValue(value); err != nil {
		return secretstore.Minted{}, cli.WithHint(fmt.Errorf("what %s printed: %w", r.with, err), "let it print the new value, and nothing else")
	}
	return secretstore.Minted{Value: value}, nil
}

// mintAtGitLab lets a GitLab access token replace itself.
func (r *secretRotation) mintAtGitLab(ctx context.Context, old secret.Secret) (secretstore.Minted, error) {
	hc, err := r.a.HTTPClient(config.Profile{})
	if err != nil {
		return secretstore.Minted{}, err
	}
	minted, expires, err := secretstore.GitLab(ctx, hc, destination.GitLabURL(r.cfg.Destination.URL, r.a.Getenv), old, r.expires)
	if err == nil {
		r.oldEnded, r.expires = true, expires
	}
	return minted, err
}

// deliver brings the new value, which is kept by now, to all destinations: also to those
// that were noted while a person, a lock or the issuer was waited for.
func (r *secretRotation) deliver(ctx context.Context, value secret.Secret) error {
	cfg, err := r.a.Config()
	if err != nil {
		return err
	}
	if r.settings, err = app.KnownSecret(cfg, r.opts.name); err != nil {
		return err
	}
	if r.to, err = delivery.Destinations(r.a, r.settings.To, r.opts.as); err != nil {
		return err
	}
	if !r.opts.resume {
		if err := r.saveExpiry(); err != nil {
			return err
		}
	}
	if err := destination.CheckAll(r.to, value); err != nil {
		return err
	}
	return delivery.Deliver(ctx, r.a, r.to, value)
}

// saveExpiry stores when the new value expires. The old one's expiry says nothing about it.
func (r *secretRotation) saveExpiry() error {
	if r.expires.IsZero() && !r.settings.Expires.IsZero() && r.opts.expires == "" {
		r.a.Note("When the new value ends is not known; tell it: 'fob secret set %s --keep --expires 90d'.", r.opts.name)
	}
	if !r.expires.IsZero() {
		r.a.Note("The new value ends at %s.", r.expires.Format(time.RFC3339))
	}
	return config.ChangeSecret(r.cfg.Paths.Config, r.opts.name, func(s *config.Secret) { s.Expires = r.expires })
}

// explainFailure says what a failed rotation leaves behind, and how to continue.
func (r *secretRotation) explainFailure(ctx context.Context, err error) error {
	var unkept *secretstore.UnkeptError
	if errors.As(err, &unkept) {
		if r.with == "" { // whoever gave it has it
			return app.HintOfSecret(unkept, r.opts.name)
		}
		return r.printUnsaved(unkept)
	}
	held, readErr := r.vault.Get(context.WithoutCancel(ctx))
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	var failed cli.Failures
	if !errors.As(err, &failed) {
		failed = cli.Failures{app.HintOfSecret(err, r.opts.name)}
	}
	resume := fmt.Sprintf("mend what is named above, then 'fob secret rotate %s --resume'", r.opts.name)
	switch {
	case held.Stage == secretstore.Delivering:
		failed = append(failed, cli.WithHint(cli.Unfinishedf("both values of %q are kept, and nothing was ended by fob", r.opts.name), "%s", resume))
	case held.Stage == secretstore.Retiring:
		failed = append(failed, cli.WithHint(cli.Unfinishedf("the new value of %q is in force everywhere; the old one is kept until it is ended", r.opts.name), "%s", resume))
	case held.Stage == secretstore.Asked && !errors.Is(err, secretstore.ErrUnanswered):
		failed = append(failed, cli.WithHint(cli.Unfinishedf("%s was asked for a new value of %q, and no answer is kept", r.with, r.opts.name),
			"see at the issuer whether there is one; 'fob secret rotate %s' asks again, '--abandon' leaves it", r.opts.name))
	}
	return failed.Err()
}

// printUnsaved prints a value that could not be stored: nobody would have it otherwise.
func (r *secretRotation) printUnsaved(unkept *secretstore.UnkeptError) error {
	if _, err := fmt.Fprintln(r.a.Out.Raw(), unkept.Value.Reveal()); err != nil {
		return errors.Join(unkept, err)
	}
	text := "the old one is in force still"
	if unkept.OldEnded {
		text = "the old one has ended"
	}
	return cli.WithHint(fmt.Errorf("%w; %s, and the new one is on stdout alone", unkept, text),
		"keep it once the storage is mended: 'fob secret set %s'; 'fob doctor' says what is amiss", sanitize.Line(r.opts.name))
}
