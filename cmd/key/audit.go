package key

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
)

type auditOptions struct {
	ids    []string
	Verify bool   `flag:"verify" help:"verify the log and print its head"`
	Head   string `flag:"head" empty:"refused" help:"verify against this {HEAD} of an earlier check"`
	Last   int    `flag:"last" not:"verify" help:"show the last {N} entries, 0 for all"`
	JSON   bool   `flag:"json" not:"verify" help:"print JSON, one entry per line"`
}

func newAuditCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "audit [ID…]",
		Short: "Show or verify the log of changes to API keys",
		Long: `Show the changes to all keys, or to the given ones. Each entry's hash includes the
previous entry's.

--verify checks the whole log and every key's record against it, and prints the log's
head. Save the head where the registry's administrators cannot write: with --head, a
later check also detects a truncated or rewritten log.`,
		Example: `  fob key audit
  fob key audit 1OOivdDZfQCU --json
  fob key audit --verify >head.txt
  fob key audit --verify --head "$(cat head.txt)"`,
		Args: usage.KeyIDs(0),
	}, auditOptions{Last: 100}, runAudit, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitFindings, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func runAudit(ctx context.Context, a *app.App, args []string, opts auditOptions) error {
	opts.ids = args
	switch {
	case opts.Head != "" && !opts.Verify:
		return cli.WithHint(cli.Usagef("--head needs --verify"), "use both")
	case opts.Verify && len(args) > 0:
		return cli.WithHint(cli.Usagef("--verify checks the whole log, not single keys"), "remove the ids")
	case opts.Last < 0:
		return cli.WithHint(cli.Usagef("--last must not be negative"), "use 0 for all entries")
	}
	var since *apikey.Head
	if opts.Head != "" {
		head, err := apikey.ParseHead(opts.Head)
		if err != nil {
			return cli.WithHint(cli.AsUsage(err), "use the whole line that an earlier check printed")
		}
		since = &head
	}
	g, err := appkeys.Open(ctx, a, false)
	if err != nil {
		return err
	}
	defer g.Close()
	if opts.Verify {
		return verifyLog(ctx, a, g, since)
	}
	return printLog(ctx, a, g, opts)
}

func verifyLog(ctx context.Context, a *app.App, g *keys.Registrar, since *apikey.Head) error {
	if err := g.Registry.Check(ctx); err != nil {
		return err
	}
	auditor := apikey.Auditor{Since: since}
	bar := a.NewProgress("checking", 0)
	end, err := g.Registry.Log(ctx, 0, func(l apikey.Logged) error {
		bar.At(l.Seq, fmt.Sprintf("entry %d", l.Seq))
		return auditor.Check(l)
	})
	bar.End()
	var head apikey.Head
	if err == nil {
		head, err = auditor.Finish(end)
	}
	if err != nil {
		return err
	}
	if err := a.Out.Printf("%s\n", head); err != nil {
		return err
	}
	a.Note("Verified the log of %s and the records of %s.", cli.Plural(int(head.Seq), "change", "changes"), cli.Plural(int(end.Keys), "key", "keys"))
	if end.Pending > 0 {
		a.Note("The revocation of %s is unfinished: run 'fob key revoke --resume' to add the audit entries.", cli.Plural(end.Pending, "key", "keys"))
	}
	if since == nil {
		a.Note("Save this head elsewhere, and pass it to the next check with --head.")
	}
	return nil
}

type entryJSON struct {
	Seq    int64     `json:"seq"`
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"`
	Action string    `json:"action"`
	KeyID  string    `json:"key_id,omitempty"`
	Detail string    `json:"detail,omitempty"`
	Hash   string    `json:"hash"`
}

func printLog(ctx context.Context, a *app.App, g *keys.Registrar, opts auditOptions) error {
	after := int64(0)
	if opts.Last > 0 && len(opts.ids) == 0 {
		_, last, err := g.Registry.Changed(ctx, math.MaxInt64, 1)
		if err != nil {
			return err
		}
		after = max(0, last-int64(opts.Last))
	}
	table := a.NewTable([]string{"SEQ", "TIME", "USER", "ACTION", "KEY", "DETAIL"}, "USER", "TIME")
	_, err := g.Registry.Log(ctx, after, func(l apikey.Logged) error {
		if l.IsPending {
			return nil
		}
		if opts.JSON {
			return a.PrintLine(entryJSON{l.Seq, cli.UTCSeconds(l.At), l.Actor, l.Action, l.KeyID, l.Detail, l.Hash.String()})
		}
		return table.Add(cli.InertRow(fmt.Sprint(l.Seq), l.At.Format(time.DateTime), l.Actor, l.Action, l.KeyID, l.Detail)...)
	}, opts.ids...)
	switch {
	case err != nil || opts.JSON:
		return err
	case table.IsEmpty():
		a.Note("No entries.")
		return nil
	}
	return table.End()
}
