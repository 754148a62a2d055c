package key

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/delivery"
)

type updateOptions struct {
	keyFlags
	usage.AllowFolderFlag
	usage.JSONFlag
	To       []string `flag:"to" empty:"refused" help:"replace the destinations by this {DESTINATION}; repeatable"`
	Clear    []string `flag:"clear" values:"rate scope to" help:"remove all values of {FLAG}: rate, scope or to; repeatable"`
	Disabled bool     `flag:"disabled" help:"refuse the key; --disabled=false accepts it again"`
}

func newUpdateCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "update ID",
		Short: "Change or disable an API key",
		Long: `Change what the flags name in a key's record. --disabled refuses the key until
--disabled=false. --scope, --rate and --to replace all values, --clear removes them;
--meta NAME= removes a name. --to does not deliver the key: see 'fob key push'.`,
		Example: `  fob key update 1OOivdDZfQCU --disabled
  fob key update 1OOivdDZfQCU --scope orders:read --scope orders:write
  fob key update 1OOivdDZfQCU --expires never`,
		Args: usage.OneKeyID,
	}, updateOptions{}, runUpdate, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func runUpdate(ctx context.Context, a *app.App, args []string, opts updateOptions) error {
	if !slices.ContainsFunc([]string{"owner", "scope", "expires", "rate", "note", "meta", "to", "clear", "disabled"}, opts.Given) {
		return cli.WithHint(cli.Usagef("nothing to change"), "see 'fob key update --help' for the flags")
	}
	for _, flag := range opts.Clear {
		if opts.Given(flag) {
			return cli.WithHint(cli.Usagef("--%s and --clear %s cannot be combined", flag, flag), "use only --%s to replace all values", flag)
		}
	}
	given := opts.Given
	opts.Given = func(flag string) bool { return given(flag) || slices.Contains(opts.Clear, flag) }
	// Errors in the flags are reported before anything is opened.
	draft := apikey.Record{Owner: "any", Environment: apikey.DefaultFormat.Environments[0]}
	if err := opts.apply(&draft, a.Now()); err != nil {
		return err
	}
	if strings.TrimSpace(draft.Owner) == "" {
		return cli.WithHint(cli.Usagef("--owner is empty"), "remove --owner to keep the owner")
	}
	if err := checkDraft(&draft, "update"); err != nil {
		return err
	}
	dests, err := delivery.KeyDestinations(a, nil, opts.To, nil, draft.Environment)
	if err != nil {
		return err
	}
	if err := delivery.AllowFolders(ctx, a, opts.To, opts.AllowFolder, true); err != nil {
		return err
	}
	g, err := appkeys.Open(ctx, a, false)
	if err != nil {
		return err
	}
	defer g.Close()
	r, err := g.Update(ctx, args[0], func(r *apikey.Record) {
		_ = opts.apply(r, a.Now())
		if opts.Given("to") {
			r.Destinations = delivery.DestinationNames(dests)
		}
		if opts.Given("disabled") {
			r.Disabled = opts.Disabled
		}
	})
	if err != nil {
		return err
	}
	if opts.JSON {
		return a.PrintJSON(appkeys.NewJSON(r, a.Now()))
	}
	a.Note("Updated key %s: it is %s.", appkeys.Text(r), r.State(a.Now()))
	return nil
}
