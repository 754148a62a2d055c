package cmd

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/safetext"
)

type keyListOptions struct {
	filterFlags
	json, exitCode bool
}

func newKeyListCmd(a *app) *cobra.Command {
	var opts keyListOptions
	c := &cobra.Command{
		Use:   "list",
		Short: "List API keys",
		Long: `List the keys of the registry, all or those that the flags mean. With --exit-code
the status is 3 if there is one, so that cron can tell:

  fob key list --expiring 14d --exit-code

` + exitHelp(exitDone, exitFailed, exitUsage, exitFindings, exitUnavailable, exitStorage, exitLockTimeout, exitInterrupted),
		Example: `  fob key list --owner billing
  fob key list --unused 90d --state active --json`,
		Args: noKeyArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runKeyList(cmd.Context(), a, opts)
		},
	}
	opts.register(a, c)
	c.Flags().BoolVar(&opts.json, "json", false, "print JSON")
	c.Flags().BoolVar(&opts.exitCode, "exit-code", false, "exit with 3 if a key is listed")
	return c
}

func runKeyList(ctx context.Context, a *app, opts keyListOptions) error {
	filter, err := opts.filter(a, nil)
	if err != nil {
		return err
	}
	g, err := a.registrar(ctx, false)
	if err != nil {
		return err
	}
	defer g.Close()
	a.foldUses(ctx, g)
	records, err := a.chosen(ctx, g, filter)
	if err != nil {
		return err
	}
	if opts.json {
		list := make([]keyJSON, len(records))
		for i, r := range records {
			list[i] = newKeyJSON(r, a.now())
		}
		err = a.printJSON(list)
	} else {
		err = a.printKeys(records)
	}
	if err == nil && opts.exitCode && len(records) > 0 {
		err = findingsOf(plural(len(records), "key", "keys") + " found")
	}
	return err
}

func (a *app) printKeys(records []apikey.Record) error {
	if len(records) == 0 {
		a.note("There is no such key.")
		return nil
	}
	rows := [][]string{{"ID", "OWNER", "ENV", "STATE", "ENDS", "USED", "SCOPES", "NOTE"}}
	for _, r := range records {
		used := ""
		if !r.LastUsedAt.IsZero() {
			used = roughly(a.now().Sub(r.LastUsedAt)) + " ago"
		}
		rows = append(rows, inert(
			r.ID, short(r.Owner, 24), r.Environment, string(r.State(a.now())), leftText(r.Ends(), a.now()), used,
			short(scopesText(r.Scopes), 40), r.Note,
		))
	}
	return a.printTable(rows, "NOTE", "USED", "SCOPES", "ENV", "ENDS")
}

// short cuts a text of a table's middle column.
func short(text string, width int) string { return cut(safetext.Line(text), width) }

func newKeyShowCmd(a *app) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show all that is known of an API key",
		Long: `Show a key's record and the keys before and after it. The key itself is in no
registry.

` + exitHelp(exitDone, exitFailed, exitUsage, exitUnavailable, exitStorage, exitLockTimeout, exitInterrupted),
		Example: `  fob key show 1OOivdDZfQCU
  fob key show 1OOivdDZfQCU --json`,
		Args:              oneKeyID,
		ValidArgsFunction: completionsOf(a).completeKeyID,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runKeyShow(cmd.Context(), a, args[0], asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// shownKeyJSON is a key with its place in the chain of rotations, and their state.
type shownKeyJSON struct {
	keyJSON
	Pepper    string         `json:"pepper,omitempty"`
	Chain     []string       `json:"chain,omitempty"` // the oldest first
	Rotations []rotationJSON `json:"rotations,omitempty"`
}

type rotationJSON struct {
	Successor  string            `json:"successor"`
	Phase      apikey.Phase      `json:"phase"`
	Deliveries []apikey.Delivery `json:"deliveries,omitempty"`
}

func runKeyShow(ctx context.Context, a *app, id string, asJSON bool) error {
	g, err := a.registrar(ctx, false)
	if err != nil {
		return err
	}
	defer g.Close()
	a.foldUses(ctx, g)
	records, err := a.chosen(ctx, g, apikey.Filter{IDs: []string{id}})
	if err != nil {
		return err
	}
	r := records[0]
	chain, rotations, err := g.History(ctx, r)
	if err != nil {
		return err
	}
	shown := shownKeyJSON{keyJSON: newKeyJSON(r, a.now()), Pepper: r.Pepper, Chain: chain}
	for _, rotation := range rotations {
		shown.Rotations = append(shown.Rotations, rotationJSON{rotation.New, rotation.Phase, rotation.Deliveries})
	}
	if asJSON {
		return a.printJSON(shown)
	}
	rows := [][]string{
		{"id", safetext.Line(r.ID)},
		{"owner", safetext.Line(r.Owner)},
		{"environment", safetext.Line(r.Environment)},
		{"state", string(r.State(a.now()))},
		{"scopes", scopesText(r.Scopes)},
		{"rate", safetext.Line(r.Rate)},
		{"note", safetext.Line(r.Note)},
		{"created", timeText(r.CreatedAt)},
		{"expires", untilText(r.ExpiresAt, a.now())},
		{"overlap ends", untilText(r.RetiresAt, a.now())},
		{"revoked", timeText(r.RevokedAt)},
		{"pepper", safetext.Line(r.Pepper)},
		{"last used", timeText(r.LastUsedAt)},
		{"uses", countOrNothing(r.Uses)},
		{"metadata", metadataText(r.Metadata)},
		{"rotated", rotationsText(rotations)},
	}
	for _, name := range r.Destinations {
		rows = append(rows, []string{"goes to", safetext.Line(name)})
	}
	for _, d := range lastDeliveries(rotations) {
		rows = append(rows, []string{"successor", strings.TrimSpace(fmt.Sprintf("%s: %s %s", safetext.Line(d.Destination), d.Status, safetext.Line(d.Error)))})
	}
	if len(chain) > 1 {
		rows = append(rows, []string{"chain", strings.Join(inert(chain...), " → ")})
	}
	return a.printTable(filled(rows))
}

// lastDeliveries are those of the last rotation, where they say more than its phase.
func lastDeliveries(rotations []apikey.Rotation) []apikey.Delivery {
	if len(rotations) == 0 || len(rotations[len(rotations)-1].Deliveries) < 2 {
		return nil
	}
	return rotations[len(rotations)-1].Deliveries
}

func rotationsText(rotations []apikey.Rotation) string {
	if len(rotations) == 0 {
		return ""
	}
	last := rotations[len(rotations)-1]
	return fmt.Sprintf("%s, by %s", last.Phase, last.New)
}
