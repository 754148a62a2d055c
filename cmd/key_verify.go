package cmd

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/registrar"
	"github.com/fobcli/fob/internal/secret"
)

type keyVerifyOptions struct {
	need apikey.Need
	json bool
}

func newKeyVerifyCmd(a *app) *cobra.Command {
	var opts keyVerifyOptions
	c := &cobra.Command{
		Use:   "verify",
		Short: "Check the API key on stdin",
		Long: `Check a key that is read from stdin: that it is one of the registry's, active, of
the environment, and that it has every scope that is named. A key that is not is
refused with status 8.

` + exitHelp(exitDone, exitFailed, exitUsage, exitUnavailable, exitStorage, exitLockTimeout, exitRefused, exitInterrupted),
		Example: `  fob key verify --env live --scope orders:read <key.txt
  printf %s "$KEY" | fob key verify --json`,
		Args: noKeyArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runKeyVerify(cmd.Context(), a, opts)
		},
	}
	c.Flags().StringVar(&opts.need.Environment, "env", "", "the `ENVIRONMENT` that the key must be of")
	c.Flags().StringArrayVar(&opts.need.Scopes, "scope", nil, "a `SCOPE` that the key must have; repeatable")
	c.Flags().BoolVar(&opts.json, "json", false, "print JSON, also of a key that is refused")
	refuseEmpty(c, "env")
	_ = c.RegisterFlagCompletionFunc("env", completionsOf(a).completeEnvironments)
	return c
}

// verdictJSON is what verify prints.
type verdictJSON struct {
	Valid  bool          `json:"valid"`
	Reason apikey.Reason `json:"reason,omitempty"`
	Detail string        `json:"detail,omitempty"`
	*keyJSON
}

func runKeyVerify(ctx context.Context, a *app, opts keyVerifyOptions) error {
	for _, scope := range opts.need.Scopes {
		if err := checkScope(scope); err != nil {
			return err
		}
	}
	if env := opts.need.Environment; env != "" {
		if err := apikey.CheckEnvironment(env); err != nil {
			return withHint(usageOf(err), "as in test, live")
		}
	}
	g, err := a.registrar(ctx, false)
	if err != nil {
		return err
	}
	defer g.Close()
	text, err := a.readKey(ctx)
	if err != nil {
		return err
	}
	r, err := g.Verify(ctx, text.Reveal(), opts.need)
	var refused *apikey.RefusedError
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	if err := errors.Join(a.printVerdict(r, refused, opts.json), err); err != nil {
		return err
	}
	a.afterVerify(ctx, g, text, r)
	return nil
}

func (a *app) printVerdict(r apikey.Record, refused *apikey.RefusedError, asJSON bool) error {
	if asJSON {
		return a.printJSON(newVerdictJSON(r, refused, a.now()))
	}
	if refused == nil {
		a.note("%s", goodKeyText(r))
	}
	return nil
}

func newVerdictJSON(r apikey.Record, refused *apikey.RefusedError, now time.Time) verdictJSON {
	v := verdictJSON{Valid: refused == nil}
	if refused != nil {
		v.Reason, v.Detail = refused.Reason, refused.Detail
	}
	if r.ID != "" {
		k := newKeyJSON(r, now)
		v.keyJSON = &k
	}
	return v
}

func goodKeyText(r apikey.Record) string {
	line := "The key is good: " + keyText(r)
	if len(r.Scopes) > 0 {
		line += ", " + scopesText(r.Scopes)
	}
	if ends := r.Ends(); !ends.IsZero() {
		line += ", until " + timeText(ends)
	}
	return line + "."
}

// afterVerify does what need not keep the answer waiting.
func (a *app) afterVerify(ctx context.Context, g *registrar.Registrar, text secret.Secret, r apikey.Record) {
	if err := g.Rehash(ctx, text.Reveal(), r); err != nil && !errors.Is(err, apikey.ErrUnusable) {
		a.warn("the key's hash was not made again with the present pepper: " + err.Error())
	}
	a.noteUse(ctx, g, r.ID)
}

// readKey reads a key from stdin, or asks for it without echo.
func (a *app) readKey(ctx context.Context) (secret.Secret, error) {
	if isTerminal(a.stdin) {
		return a.askSecret(ctx, "API key:")
	}
	text, err := await(ctx, func() (string, error) {
		given, err := readSecret(a.stdin, "stdin")
		return strings.TrimSpace(given.Reveal()), err
	})
	if err != nil {
		err = withHint(err, "give the key alone on stdin, as in <FILE")
	}
	return secret.New(text), err
}
