package key

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/sanitize"
)

type listOptions struct {
	filterFlags
	usage.JSONFlag
	Sort     string `flag:"sort" values:"created expires used owner" help:"sort {ORDER}: created, expires, used or owner"`
	Limit    int    `flag:"limit" help:"list at most {N} keys, 0 for all"`
	ExitCode bool   `flag:"exit-code" help:"exit with status 3 if a key is listed"`
}

func newListCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "list",
		Short: "List API keys",
		Long: `List all keys, or those that the flags select. With --exit-code the status is 3 if
there are any, for cron:

  fob key list --expiring 14d --exit-code`,
		Example: `  fob key list --owner billing
  fob key list --unused 90d --state active --json`,
		Args: usage.NoKeyArgs,
	}, listOptions{Sort: "created"}, runList, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitFindings, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func runList(ctx context.Context, a *app.App, _ []string, opts listOptions) error {
	if opts.Limit < 0 {
		return cli.WithHint(cli.Usagef("invalid --limit %d", opts.Limit), "use a number of keys, or 0 for all")
	}
	filter, err := opts.filter(a, nil)
	if err != nil {
		return err
	}
	filter.Sort = strings.TrimPrefix(opts.Sort, "created") // the registry's order
	g, err := appkeys.Open(ctx, a, false)
	if err != nil {
		return err
	}
	defer g.Close()
	appkeys.FoldUses(ctx, a, g)
	open, err := g.Unfinished(ctx)
	if err != nil {
		return err
	}
	count, more := 0, false
	listed := func(yield func(apikey.Record, error) bool) {
		for r, err := range g.Matching(ctx, filter) {
			if more = err == nil && opts.Limit > 0 && count == opts.Limit; more || !yield(r, err) {
				return
			}
			count++
		}
	}
	if err := printKeys(a, listed, open, opts.JSON); err != nil {
		return err
	}
	appkeys.NoteUnfinished(a, open)
	found := cli.Plural(count, "key", "keys") + " found"
	if more {
		a.Note("There are more keys; --limit 0 lists all.")
		found = "more than " + found
	}
	if opts.ExitCode && count > 0 {
		return cli.Findings(found)
	}
	return nil
}

func printKeys(a *app.App, records iter.Seq2[apikey.Record, error], open []keys.Unfinished, asJSON bool) error {
	if asJSON {
		return cli.PrintJSONList(a.IO, func(yield func(appkeys.JSON, error) bool) {
			for r, err := range records {
				if !yield(keyJSON(a, r, open), err) {
					return
				}
			}
		})
	}
	table := a.NewTable([]string{"ID", "OWNER", "ENV", "STATE", "EXPIRES", "USED", "SCOPES", "NOTE"}, "NOTE", "USED", "SCOPES", "ENV", "EXPIRES")
	for r, err := range records {
		if err != nil {
			return err
		}
		used := ""
		if !r.LastUsedAt.IsZero() {
			used = cli.Roughly(a.Now().Sub(r.LastUsedAt)) + " ago"
		}
		if err := table.Add(cli.InertRow(
			r.ID, inertCell(r.Owner, 24), r.Environment, string(r.State(a.Now())), cli.TextIf(r.State(a.Now()) != apikey.Revoked, cli.LeftText(r.Ends(), a.Now())), used,
			inertCell(appkeys.ScopesText(r.Scopes), 40), r.Note,
		)...); err != nil {
			return err
		}
	}
	if table.IsEmpty() {
		a.Note("No keys match.")
		return nil
	}
	return table.End()
}

func keyJSON(a *app.App, r apikey.Record, open []keys.Unfinished) appkeys.JSON {
	k := appkeys.NewJSON(r, a.Now())
	if u := keys.UnfinishedOf(r.ID, open); u != nil {
		k.Unfinished = u.Rotation.Phase
	}
	return k
}

func inertCell(text string, width int) string { return cli.Truncate(sanitize.Line(text), width) }

func newShowCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "show ID",
		Short: "Show an API key's record",
		Long: `Show a key's record, and the keys that it replaced and that replaced it. The key
itself is not stored.`,
		Example: `  fob key show 1OOivdDZfQCU
  fob key show 1OOivdDZfQCU --json`,
		Args: usage.OneKeyID,
	}, usage.JSONFlag{}, runShow, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

// shownKeyJSON is a key with its rotations, and the keys before and after it.
type shownKeyJSON struct {
	appkeys.JSON
	Pepper    string         `json:"pepper,omitempty"`
	Chain     []string       `json:"chain,omitempty"` // the oldest first
	Rotations []rotationJSON `json:"rotations,omitempty"`
}

type rotationJSON struct {
	Successor  string            `json:"successor"`
	Phase      apikey.Phase      `json:"phase"`
	Deliveries []apikey.Delivery `json:"deliveries,omitempty"`
}

func runShow(ctx context.Context, a *app.App, args []string, opts usage.JSONFlag) error {
	id := args[0]
	g, err := appkeys.Open(ctx, a, false)
	if err != nil {
		return err
	}
	defer g.Close()
	appkeys.FoldUses(ctx, a, g)
	r, err := g.Find(ctx, id)
	if err != nil {
		return err
	}
	chain, rotations, err := g.History(ctx, r)
	if err != nil {
		return err
	}
	open, err := g.Unfinished(ctx, id)
	if err != nil {
		return err
	}
	shown := shownKeyJSON{JSON: keyJSON(a, r, open), Pepper: r.Pepper, Chain: chain}
	for _, rotation := range rotations {
		shown.Rotations = append(shown.Rotations, rotationJSON{rotation.New, rotation.Phase, rotation.Deliveries})
	}
	if opts.JSON {
		return a.PrintJSON(shown)
	}
	if err := a.PrintTable(keyRows(r, chain, rotations, a.Now())); err != nil {
		return err
	}
	appkeys.NoteUnfinished(a, open)
	return nil
}

func keyRows(r apikey.Record, chain []string, rotations []apikey.Rotation, now time.Time) [][]string {
	rows := [][]string{
		{"id", sanitize.Line(r.ID)},
		{"owner", sanitize.Line(r.Owner)},
		{"environment", sanitize.Line(r.Environment)},
		{"state", string(r.State(now))},
		{"scopes", appkeys.ScopesText(r.Scopes)},
		{"rate", sanitize.Line(r.Rate)},
		{"note", sanitize.Line(r.Note)},
		{"created", cli.TimeText(r.CreatedAt)},
		{"expires", cli.UntilText(r.ExpiresAt, now)},
		{"overlap ends", cli.UntilText(r.RetiresAt, now)},
		{"revoked", cli.TimeText(r.RevokedAt)},
		{"pepper", sanitize.Line(r.Pepper)},
		{"last used", cli.TimeText(r.LastUsedAt)},
		{"uses", cli.TextIf(r.Uses > 0, fmt.Sprintf("about %d", r.Uses))},
		{"metadata", metadataText(r.Metadata)},
	}
	if n := len(rotations); n > 0 {
		rows = append(rows, []string{"rotation", fmt.Sprintf("%s, to %s", rotations[n-1].Phase, rotations[n-1].New)})
	}
	for _, name := range r.Destinations {
		rows = append(rows, []string{"destination", sanitize.Line(name)})
	}
	if n := len(rotations); n > 0 && len(rotations[n-1].Deliveries) > 1 { // a single delivery adds nothing to the phase
		for _, d := range rotations[n-1].Deliveries {
			rows = append(rows, []string{"delivery", strings.TrimSpace(fmt.Sprintf("%s: %s %s", sanitize.Line(d.Destination), d.Status, sanitize.Line(d.Error)))})
		}
	}
	if len(chain) > 1 {
		rows = append(rows, []string{"chain", strings.Join(cli.InertRow(chain...), " → ")})
	}
	return cli.WithoutEmptyValues(rows)
}

func metadataText(metadata map[string]string) string {
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		pairs = append(pairs, sanitize.Line(name)+"="+sanitize.Line(metadata[name]))
	}
	return strings.Join(pairs, " ")
}
