package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/safetext"
	"github.com/fobcli/fob/internal/vault"
)

type secretListOptions struct {
	json, exitCode bool
	expiring       string
}

// secretExpiring is how long before its end a secret is something that was found.
const secretExpiring = 14 * 24 * time.Hour

func newSecretListCmd(a *app) *cobra.Command {
	var opts secretListOptions
	c := &cobra.Command{
		Use:   "list",
		Short: "List secrets, when they end, and where copies are",
		Long: `List the secrets of this machine, and no value. With --exit-code the status is 3 if
one ends within 14 days (or within the time of --expiring), so that cron can tell.

` + exitHelp(exitDone, exitUsage, exitFindings, exitInterrupted),
		Example: `  fob secret list
  fob secret list --expiring 30d --exit-code
  fob secret list --json`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runSecretList(cmd.Context(), a, opts)
		},
	}
	c.Flags().BoolVar(&opts.json, "json", false, "print JSON")
	c.Flags().BoolVar(&opts.exitCode, "exit-code", false, "exit with 3 if a secret ends soon")
	c.Flags().StringVar(&opts.expiring, "expiring", "", "secrets that end within this `TIME` alone, as in 30d")
	refuseEmpty(c, "expiring")
	return c
}

// secretJSON is what `fob secret list --json` prints of one secret.
type secretJSON struct {
	Name         string    `json:"name"`
	SetAt        time.Time `json:"set_at,omitzero"`
	ExpiresAt    time.Time `json:"expires_at,omitzero"`
	Storage      string    `json:"storage"`
	Destinations []string  `json:"destinations"`
	Rotation     string    `json:"rotation,omitempty"` // where one stopped: asked, delivering or retiring
	RotateWith   string    `json:"rotate_with,omitempty"`
	RetireWith   string    `json:"retire_with,omitempty"`
	Problem      string    `json:"problem,omitempty"`

	failure error // why it cannot be read
}

func runSecretList(ctx context.Context, a *app, opts secretListOptions) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	within := secretExpiring
	if opts.expiring != "" {
		if within, err = parseSpan(opts.expiring); err != nil {
			return err
		}
	}
	ending := a.endingSecrets(cfg, within)
	all := []secretJSON{}
	for _, name := range cfg.SecretNames() {
		s := cfg.Secrets[name]
		if opts.expiring == "" || slices.ContainsFunc(ending, func(e config.Secret) bool { return e.Name == name }) {
			all = append(all, a.shownSecret(ctx, cfg, s))
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if opts.json {
		err = a.printJSON(all)
	} else {
		err = a.printSecrets(all, opts)
	}
	if err == nil && opts.exitCode && len(ending) > 0 {
		err = findingsOf(plural(len(ending), "secret ends", "secrets end") + " soon, or has ended")
	}
	return err
}

// shownSecret is what can be told of a secret. One that cannot be read is shown with the
// reason.
func (a *app) shownSecret(ctx context.Context, cfg *config.Config, s config.Secret) secretJSON {
	out := secretJSON{Name: s.Name, ExpiresAt: s.Expires, Destinations: append([]string{}, s.To...), RotateWith: s.RotateWith, RetireWith: s.RetireWith}
	if given, err := a.givenSecret(s.Name); err != nil || given != "" {
		out.Storage = storageEnv
		if err != nil {
			out.Problem, out.failure = err.Error(), err
		}
		return out
	}
	out.Storage, _ = a.storageName(cfg, config.Profile{Storage: s.Storage})
	var held vault.Held
	v, err := a.sealedSecret(cfg, s)
	if err == nil {
		held, err = v.Get(ctx)
	}
	switch {
	case errors.Is(err, vault.ErrNoValue):
		out.Problem = "it has no value"
	case err != nil:
		out.Problem, out.failure = err.Error(), err
	case held.Stage != vault.AtRest:
		out.Problem = fmt.Sprintf("its rotation is not at its end: 'fob secret rotate %s --resume'", s.Name)
	}
	out.SetAt, out.Rotation = utcSeconds(held.SetAt), string(held.Stage)
	return out
}

func (a *app) printSecrets(all []secretJSON, opts secretListOptions) error {
	switch {
	case len(all) == 0 && opts.expiring != "":
		a.note("No secret ends within %s.", opts.expiring)
		return nil
	case len(all) == 0:
		a.note("There is no secret yet. Keep one: fob secret set stripe/prod")
		return nil
	}
	rows := [][]string{{"SECRET", "ENDS", "SET", "STORAGE", "COPIES", "PROBLEM"}}
	for _, s := range all {
		rows = append(rows, []string{s.Name, leftText(s.ExpiresAt, a.now()), dayText(s.SetAt), s.Storage, safetext.Line(strings.Join(s.Destinations, " ")), safetext.Line(s.Problem)})
	}
	return a.printTable(rows, "SET", "STORAGE", "COPIES")
}

// dayText is a time's day, which is enough of a time long ago.
func dayText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}
