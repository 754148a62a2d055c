package key

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
)

type verifyOptions struct {
	Environment string   `flag:"env" empty:"refused" help:"the {ENVIRONMENT} that the key must have"`
	Scopes      []string `flag:"scope" empty:"refused" help:"a {SCOPE} that the key must have; repeatable"`
	JSON        bool     `flag:"json" help:"print JSON, also for a refused key"`
}

func newVerifyCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "verify",
		Short: "Check the API key on stdin",
		Long: `Check that the key on stdin is in the registry, active, of the environment, and has
every given scope. Otherwise it is refused with status 8.`,
		Example: `  fob key verify --env live --scope orders:read <key.txt
  printf %s "$KEY" | fob key verify --json`,
		Args: usage.NoKeyArgs,
	}, verifyOptions{}, runVerify, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitRefused, cli.ExitInterrupted)
}

type verdictJSON struct {
	Valid  bool          `json:"valid"`
	Reason apikey.Reason `json:"reason,omitempty"`
	Detail string        `json:"detail,omitempty"`
	*appkeys.JSON
}

func runVerify(ctx context.Context, a *app.App, _ []string, opts verifyOptions) error {
	for _, scope := range opts.Scopes {
		if err := checkScope(scope); err != nil {
			return err
		}
	}
	if opts.Environment != "" {
		if err := apikey.CheckEnvironment(opts.Environment); err != nil {
			return cli.WithHint(cli.AsUsage(err), "use a name as in test, live")
		}
	}
	g, err := appkeys.Open(ctx, a, false)
	if err != nil {
		return err
	}
	defer g.Close()
	text, err := appkeys.Read(ctx, a)
	if err != nil {
		return err
	}
	r, err := g.Verify(ctx, text.Reveal(), apikey.Need{Environment: opts.Environment, Scopes: opts.Scopes})
	var refused *apikey.RefusedError
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	if refused != nil && r.ID != "" {
		err = keys.ForKey(err, r.ID)
	}
	if err := errors.Join(printVerdict(a, r, refused, opts.JSON), err); err != nil {
		return err
	}
	if err := g.Rehash(ctx, text.Reveal(), r); err != nil && !errors.Is(err, apikey.ErrUnusable) {
		a.Warn("the key's hash could not be updated to the new pepper: " + err.Error())
	}
	appkeys.NoteUse(ctx, a, g, r.ID)
	return nil
}

func printVerdict(a *app.App, r apikey.Record, refused *apikey.RefusedError, asJSON bool) error {
	if !asJSON {
		if refused == nil {
			a.Note("%s", goodKeyText(r))
		}
		return nil
	}
	v := verdictJSON{Valid: refused == nil}
	if refused != nil {
		v.Reason, v.Detail = refused.Reason, refused.Detail
	}
	if r.ID != "" {
		k := appkeys.NewJSON(r, a.Now())
		v.JSON = &k
	}
	return a.PrintJSON(v)
}

func goodKeyText(r apikey.Record) string {
	line := "The key is valid: " + appkeys.Text(r)
	if len(r.Scopes) > 0 {
		line += ", " + appkeys.ScopesText(r.Scopes)
	}
	if ends := r.Ends(); !ends.IsZero() {
		line += ", until " + cli.TimeText(ends)
	}
	return line + "."
}
