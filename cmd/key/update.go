package key

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/complete"
	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/delivery"
	"github.com/fobcli/fob/internal/sanitize"
)

type keyUpdateOptions struct {
	keyFlags
	to       []string
	disabled bool
	json     bool
}

func newKeyUpdateCmd(a *app.App) *cobra.Command {
	var opts keyUpdateOptions
	c := &cobra.Command{
		Use:   "update ID",
		Short: "Change what an API key may do, or disable it",
		Long: `Change a key's record: only what a flag names. --disabled refuses the key until
--disabled=false; --scope and --to replace all that there are, and '' is none;
--meta NAME= removes one name. --to delivers nothing: 'fob key push' does.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted),
		Example: `  fob key update 1OOivdDZfQCU --disabled
  fob key update 1OOivdDZfQCU --scope orders:read --scope orders:write
  fob key update 1OOivdDZfQCU --expires never`,
		Args:              usage.OneKeyID,
		ValidArgsFunction: complete.New(a).KeyID,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runKeyUpdate(cmd, a, args[0], opts)
		},
	}
	opts.register(c)
	c.Flags().StringArrayVar(&opts.to, "to", nil, "a `DESTINATION` of the key from now on; repeatable")
	c.Flags().BoolVar(&opts.disabled, "disabled", false, "refuse the key; --disabled=false accepts it again")
	c.Flags().BoolVar(&opts.json, "json", false, "print JSON")
	return c
}

func runKeyUpdate(cmd *cobra.Command, a *app.App, id string, opts keyUpdateOptions) error {
	named := slices.ContainsFunc([]string{"owner", "scope", "expires", "rate", "note", "meta", "to", "disabled"}, cmd.Flags().Changed)
	if !named {
		return cli.WithHint(cli.Usagef("nothing to change was named"), "see 'fob key update --help'")
	}
	// What is wrong with the flags themselves is told before anything is opened.
	given := apikey.Record{Owner: "any", Environment: apikey.DefaultFormat.Environments[0]}
	if err := opts.apply(cmd, &given, a.Now()); err != nil {
		return err
	}
	if strings.TrimSpace(given.Owner) == "" {
		return cli.WithHint(cli.Usagef("a key needs an owner"), "leave --owner out to keep the one that it has")
	}
	if err := given.CheckDraft(); err != nil {
		return cli.WithHint(cli.AsUsage(err), "see 'fob key update --help'")
	}
	to, err := delivery.KeyDestinations(a, slices.DeleteFunc(opts.to, func(name string) bool { return name == "" }), nil, given.Environment)
	if err != nil {
		return err
	}
	g, err := appkeys.Open(cmd.Context(), a, false)
	if err != nil {
		return err
	}
	defer g.Close()
	r, err := g.Update(cmd.Context(), id, func(r *apikey.Record) {
		_ = opts.apply(cmd, r, a.Now())
		if cmd.Flags().Changed("to") {
			r.Destinations = delivery.DestinationNames(to)
		}
		if cmd.Flags().Changed("disabled") {
			r.Disabled = opts.disabled
		}
	})
	if err != nil {
		return err
	}
	if opts.json {
		return a.PrintJSON(appkeys.NewJSON(r, a.Now()))
	}
	a.Note("Changed key %s: it is %s.", appkeys.Text(r), r.State(a.Now()))
	return nil
}

func countText(n int64) string {
	if n == 0 {
		return ""
	}
	return "about " + strconv.FormatInt(n, 10)
}

func metadataText(metadata map[string]string) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		pairs = append(pairs, fmt.Sprintf("%s=%s", sanitize.Line(name), sanitize.Line(metadata[name])))
	}
	return strings.Join(pairs, " ")
}
