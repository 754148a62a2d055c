// Package key contains the commands for API keys that the user issues.
package key

import (
	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
)

func New(a *app.App) *cobra.Command {
	return usage.Group(a, a.Called, &cobra.Command{
		Use:   "key",
		Short: "Issue, verify, rotate and revoke API keys",
		Long: `Issue API keys for the services that you run. The registry stores what each key may
do, and a hash of the key: the key itself is printed once, when it is created.

The registry is a file on this machine, unless FOB_REGISTRY or 'registry' under
[keys] in config.toml names another: sqlite:/PATH, or postgres://HOST/DATABASE to
share it. 'brand' and 'environments' under [keys] define what keys look like.`,
		Example: `  fob key create --owner billing --env test --scope orders:read
  fob key verify --scope orders:read <key.txt
  fob key list --expiring 14d`,
	}, "create list show update verify rotate push revoke import export audit pepper",
		newCreateCmd, newListCmd, newShowCmd, newUpdateCmd, newVerifyCmd, newRotateCmd,
		newPushCmd, newRevokeCmd, newImportCmd, newExportCmd, newAuditCmd, newPepperCmd)
}
