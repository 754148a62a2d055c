package secret

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
)

func newGetCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:        "get NAME",
		SuggestFor: []string{"show"},
		Short:      "Print a secret",
		Long: `Print a secret and a newline. The variable FOB_SECRET_NAME overrides it (NAME in
capitals, with _ for - and /).

Every process can read the arguments of a command: pass secrets on stdin, or to a
program with 'fob exec'.`,
		Example: `  fob secret get deploy-key | ssh-add -
  KEY=$(fob secret get stripe/prod) || exit`,
		Args: oneSecretArg,
	}, usage.JSONFlag{}, runGet, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage, cli.ExitInterrupted)
}

type valueJSON struct {
	Name  string    `json:"name"`
	Value string    `json:"value"`
	SetAt time.Time `json:"set_at,omitzero"`
}

func runGet(ctx context.Context, a *app.App, args []string, opts usage.JSONFlag) error {
	name := args[0]
	held, err := a.HeldSecret(ctx, name)
	if err != nil {
		return err
	}
	value := held.Value.Reveal()
	if !opts.JSON {
		_, err = fmt.Fprintln(a.Out.Raw(), value)
		return err
	}
	if !utf8.ValidString(value) {
		return cli.WithHint(fmt.Errorf("the secret %q is not UTF-8 text, which JSON requires", name), "print it without --json")
	}
	return a.PrintJSON(valueJSON{name, value, cli.UTCSeconds(held.SetAt)})
}
