package key

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/delivery"
	"github.com/fobcli/fob/internal/destination"
	"github.com/fobcli/fob/internal/sanitize"
)

type createOptions struct {
	keyFlags
	usage.AsFlag
	usage.AllowFolderFlag
	usage.ForceFlag
	To          []string `flag:"to" empty:"refused" help:"deliver the key to a {DESTINATION}, see 'fob help destinations'; repeatable"`
	Environment string   `flag:"env" empty:"refused" help:"the key's {ENVIRONMENT}"`
	Count       int      `flag:"count" help:"create {N} keys"`
	Yes         bool     `flag:"yes,y" help:"do not ask questions"`
	Quiet       bool     `flag:"quiet,q" help:"do not print the key"`
	DryRun      bool     `flag:"dry-run" help:"show what would be done, and do nothing"`
	JSON        bool     `flag:"json" help:"print JSON, one object per line"`
}

// liveEnvironment is the environment in which a leaked key does harm.
const liveEnvironment = "live"

func newCreateCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "create --owner OWNER",
		Short: "Create an API key, and print it once",
		Long: `Create an API key and print it on stdout. It cannot be printed again: the registry
only stores a hash. With --count there is one key per line, with --json one object.

With --to, fob also delivers the key, and later each of its replacements, to where it
is used: see 'fob help destinations'.`,
		Example: `  fob key create --owner billing --env test --scope orders:read --expires 90d
  fob key create --owner shop --env live --note 'web server, Frankfurt' >key.txt
  fob key create --owner shop --to github:acme/web#API_KEY --quiet`,
		Args: usage.NoKeyArgs,
	}, createOptions{Environment: "test", Count: 1}, runCreate, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

// maxCount is a limit that only typing errors exceed.
const maxCount = 1_000_000

func runCreate(ctx context.Context, a *app.App, _ []string, opts createOptions) error {
	draft := apikey.Record{Environment: opts.Environment}
	if err := opts.apply(&draft, a.Now()); err != nil {
		return err
	}
	if strings.TrimSpace(draft.Owner) == "" {
		return cli.WithHint(cli.Usagef("--owner is required"), "use --owner OWNER: the application, team or customer that the key identifies")
	}
	if opts.Count < 1 || opts.Count > maxCount {
		return cli.Usagef("--count must be between 1 and %d", maxCount)
	}
	if err := checkEnvironment(a, draft.Environment); err != nil {
		return err
	}
	dests, err := newKeyDestinations(a, &draft, opts)
	if err != nil {
		return err
	}
	if err := delivery.CheckConflicts(ctx, a, draft.Destinations, nil, opts.Force); err != nil {
		return err
	}
	if opts.DryRun {
		printCreatePlan(a, draft, opts.Count)
		return nil
	}
	if err := delivery.CheckReady(ctx, a, draft.Destinations, opts.As, "no key was created"); err != nil {
		return err
	}
	if err := askLiveKeyNote(ctx, a, &draft, opts); err != nil {
		return err
	}
	if err := delivery.AllowFolders(ctx, a, opts.To, opts.AllowFolder, !opts.Yes); err != nil {
		return err
	}
	g, err := appkeys.Open(ctx, a, false)
	first := errors.Is(err, apikey.ErrNoRegistry)
	if first {
		g, err = appkeys.Open(ctx, a, true)
	}
	if err != nil {
		return err
	}
	defer g.Close()
	if len(dests) > 0 {
		err = createAndDeliver(ctx, a, g, draft, dests, opts)
	} else {
		err = createKeys(ctx, a, g, draft, opts)
	}
	if err != nil {
		return err
	}
	if _, own, err := appkeys.RegistryName(a); first && own && err == nil {
		a.Note("The registry of keys is on this machine only. To share it, set FOB_REGISTRY to a")
		a.Note("PostgreSQL database, and move the keys with 'fob key export' and 'fob key import'.")
	}
	return nil
}

// newKeyDestinations completes the draft, and rejects invalid keys and destinations.
func newKeyDestinations(a *app.App, draft *apikey.Record, opts createOptions) ([]keys.Destination, error) {
	switch {
	case opts.Quiet && len(opts.To) == 0:
		return nil, cli.WithHint(cli.Usagef("--quiet needs a destination: the key would be lost"), "add --to DESTINATION, or remove --quiet")
	case opts.Count > 1 && len(opts.To) > 0:
		return nil, cli.WithHint(cli.Usagef("--to delivers one key, and --count is %d", opts.Count), "create keys with destinations one by one")
	}
	dests, err := delivery.ForRotation(a, nil, opts.To, opts.As, draft.Environment, false)
	if err != nil {
		return nil, err
	}
	draft.Destinations = delivery.DestinationNames(dests)
	return dests, checkDraft(draft, "create")
}

func printCreatePlan(a *app.App, draft apikey.Record, count int) {
	a.Note("would create %s for %s, environment %s.", cli.Plural(count, "key", "keys"), sanitize.Line(draft.Owner), draft.Environment)
	for _, name := range draft.Destinations {
		a.Note("would deliver it to %s.", name)
	}
}

// createAndDeliver creates one key and delivers it. Until it is everywhere, its delivery is
// unfinished; a key that was neither delivered nor printed is revoked.
func createAndDeliver(ctx context.Context, a *app.App, g *keys.Registrar, draft apikey.Record, dests []keys.Destination, opts createOptions) error {
	defer cli.OutliveBrokenPipe()()
	bar := a.NewProgress("delivering", int64(len(dests)))
	rotate := keys.RotateOptions{To: dests}
	if !opts.Quiet {
		rotate.Last = &delivery.StdoutDestination{A: a, Bar: bar, JSON: opts.JSON}
	}
	created, err := g.CreateAndDeliver(ctx, draft, rotate)
	bar.End()
	for _, d := range created.Rotation.Deliveries {
		if d.Status == apikey.DeliveryDone && d.Destination != delivery.StdoutName {
			a.Note("Delivered to %s.", d.Destination)
		}
	}
	if err == nil {
		noteCreated(a, created.New, opts.Quiet)
		return nil
	}
	if len(created.Failed) == 0 {
		return err
	}
	return undelivered(created)
}

// undelivered returns the failed deliveries of a new key, and what they leave behind.
func undelivered(created keys.Rotated) error {
	var failures cli.Failures
	for _, one := range created.Failed {
		if one.Destination == delivery.StdoutName {
			failures = append(failures, cli.WithHint(fmt.Errorf("the key could not be printed: %w", one.Err), "check where stdout goes"))
		} else {
			failures = append(failures, &destination.Error{Destination: one.Destination, Err: one.Err})
		}
	}
	id := created.New.ID
	if created.Rotation.Phase == apikey.PhaseAbandoned {
		return append(failures, cli.WithHint(cli.Unfinishedf("1 key could not be delivered, and was revoked"), "fix the errors above, then try again"))
	}
	return append(failures, cli.WithHint(cli.Unfinishedf("key %s was created, and was not delivered everywhere", id),
		"fix the errors above, then run 'fob key rotate --resume %s' to deliver a replacement everywhere", id))
}

func checkDraft(draft *apikey.Record, command string) error {
	return cli.WithHint(cli.AsUsage(draft.CheckDraft()), "see 'fob key %s --help'", command)
}

// askLiveKeyNote asks, on a terminal, for the note of a live key: after a compromise, the note
// names what has to be changed.
func askLiveKeyNote(ctx context.Context, a *app.App, draft *apikey.Record, opts createOptions) error {
	if draft.Environment != liveEnvironment || draft.Note != "" || opts.Yes {
		return nil
	}
	note, err := a.AskOptional(ctx, "Where is this live key used (Enter for no note)?", func(note string) error {
		noted := *draft
		noted.Note = note
		return checkDraft(&noted, "create")
	})
	if errors.Is(err, cli.ErrNoTerminal) {
		return nil
	}
	draft.Note = note
	return err
}

// createKeys creates keys in batches, and prints each after it was stored.
func createKeys(ctx context.Context, a *app.App, g *keys.Registrar, draft apikey.Record, opts createOptions) error {
	defer cli.OutliveBrokenPipe()()
	bar := a.NewProgress("creating", int64(opts.Count))
	defer bar.End()
	var last apikey.Record
	for made := 0; made < opts.Count; {
		minted, records, err := g.Create(ctx, draft, min(keys.BatchSize, opts.Count-made))
		if err != nil {
			bar.End()
			if made == 0 {
				return err
			}
			next := fmt.Sprintf("create the others with '--count %d': the first ones were printed", opts.Count-made)
			return interruptedError(ctx, a, err, fmt.Sprintf("%d of %d keys were created", made, opts.Count), next)
		}
		for i := range minted {
			if err := delivery.PrintNewKey(a, minted[i], records[i], opts.JSON); err != nil {
				bar.End()
				return revokeUnprinted(ctx, g, records[i:], made+i, err)
			}
		}
		made += len(minted)
		last = records[len(records)-1]
		bar.At(int64(made), "")
	}
	bar.End()
	if opts.Count > 1 {
		a.Note("Created %d keys for %s. They cannot be shown again.", opts.Count, last.Owner)
		return nil
	}
	noteCreated(a, last, false)
	return nil
}

func noteCreated(a *app.App, r apikey.Record, quiet bool) {
	expiry := "it does not expire"
	if !r.ExpiresAt.IsZero() {
		expiry = "it expires at " + cli.TimeText(r.ExpiresAt)
	}
	a.Note("Created key %s; %s.%s", appkeys.Text(r), expiry, cli.TextIf(!quiet, " It cannot be shown again."))
}

func revokeUnprinted(ctx context.Context, g *keys.Registrar, records []apikey.Record, printed int, cause error) error {
	ids := recordIDs(records)
	what := cli.Plural(len(ids), "key", "keys")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if _, err := g.Revoke(ctx, ids, "it could not be printed"); err != nil {
		return cli.WithHint(fmt.Errorf("%s could not be printed: %w; and not revoked: %w", what, cause, err), "revoke the undelivered key: 'fob key revoke %s'", strings.Join(ids, " "))
	}
	if printed > 0 {
		what += fmt.Sprintf(" (after the first %d)", printed)
	}
	wasRevoked := map[bool]string{true: "was", false: "were"}[len(ids) == 1] + " revoked"
	return cli.WithHint(cli.Unfinishedf("%s could not be printed, and %s: %s", what, wasRevoked, cause), "check where stdout goes, then try again")
}
