// Package secret contains the commands for secrets that others issued.
package secret

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/sanitize"
)

func New(a *app.App) *cobra.Command {
	return usage.Group(a, a.Called, &cobra.Command{
		Use:   "secret",
		Short: "Store, deliver and rotate secrets issued to you",
		Long: `Store secrets that others issued to you (an API key of Stripe's, a password, a
private key) sealed in fob's storage, pass them to programs, deliver them to where
machines need them, and replace them.

A name may have several parts, as in stripe/test and stripe/prod.`,
		Example: `  fob secret set stripe/prod --expires 90d
  fob exec --env STRIPE_KEY=secret/stripe/prod -- ./shop
  fob secret list`,
	}, "set get list push rotate remove", newSetCmd, newGetCmd, newListCmd, newPushCmd, newRotateCmd, newRemoveCmd)
}

// oneSecretArg accepts the name of one secret. An invalid name may be the secret itself, so
// it is not shown.
func oneSecretArg(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return cli.WithHint(cli.Usagef("'%s' needs the name of one secret", cmd.CommandPath()), "run '%s stripe/prod', with the name of a secret, never with its value", cmd.CommandPath())
	}
	if config.CheckSecretName(args[0]) != nil {
		return cli.WithHint(cli.Usagef("invalid secret name"), "use a name such as stripe or stripe/prod (a-z, 0-9 and -, at most four parts); the value is read from stdin or a prompt")
	}
	return nil
}

// confirm asks before what cannot be undone, unless yes is set. Without a terminal, the hint of
// the error is the call with --yes.
func confirm(ctx context.Context, a *app.App, yes bool, question, what, name string) error {
	if yes {
		return nil
	}
	confirmed := "fob"
	for _, arg := range os.Args[1:] {
		confirmed += " " + sanitize.ShellQuote(arg)
	}
	return a.Confirm(ctx, question, cli.WithHint(cli.Usagef("refusing to %s %q without confirmation (not a terminal)", what, name),
		"check what it would do with --dry-run, then run '%s --yes'", confirmed))
}
