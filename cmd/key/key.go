// Package key is the commands of keys that the user issues.
package key

import (
	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
)

func New(a *app.App) *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "Issue, verify, rotate and revoke API keys",
		Long: `Issue API keys for the services that you run. A registry keeps what each key may
do, and of the key itself a hash alone: it is shown once, when it is made.

The registry is a file of this machine, unless FOB_REGISTRY or 'registry' under
[keys] in the configuration names another: sqlite:/PATH, or postgres://HOST/DATABASE
for many machines. 'brand' and 'environments' under [keys] say what keys look like.`,
		Example: `  fob key create --owner billing --env test --scope orders:read
  fob key verify --scope orders:read <key.txt
  fob key list --expiring 14d`,
		Args: usage.NoSuchCommand,
		RunE: usage.ShowHelp,
	}
	c.AddCommand(
		newCreateCmd(a),
		newListCmd(a),
		newShowCmd(a),
		newUpdateCmd(a),
		newVerifyCmd(a),
		newRotateCmd(a),
		newPushCmd(a),
		newRevokeCmd(a),
		newImportCmd(a),
		newExportCmd(a),
		newAuditCmd(a),
		newPepperCmd(a),
	)
	return c
}
