package key

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/complete"
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
	usage.DestinationFlags
	environment string
	count       int
	quiet       bool
	dryRun      bool
	force       bool
	yes, json   bool
}

// liveEnvironment is where a key can do harm.
const liveEnvironment = "live"

func newCreateCmd(a *app.App) *cobra.Command {
	var opts createOptions
	c := &cobra.Command{
		Use:   "create --owner OWNER",
		Short: "Make an API key, and print it once",
		Long: `Make an API key. It is printed on stdout, now and never again: the registry keeps
a hash. All else goes to stderr. With --count each key has a line of its own, and
with --json each line is an object.

With --to the key goes where it is used as well, and so will all its successors:
see 'fob help destinations'.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted),
		Example: `  fob key create --owner billing --env test --scope orders:read --expires 90d
  fob key create --owner shop --env live --note 'web server, Frankfurt' >key.txt
  fob key create --owner shop --to github:acme/web#API_KEY --quiet`,
		Args: usage.NoKeyArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runCreate(cmd.Context(), a, opts) },
	}
	opts.register(c)
	opts.Register(c, "deliver the key here")
	c.Flags().StringVar(&opts.environment, "env", "test", "the `ENVIRONMENT` that the key is for")
	c.Flags().IntVar(&opts.count, "count", 1, "make `N` of them")
	c.Flags().BoolVarP(&opts.yes, "yes", "y", false, "do not ask where a live key goes")
	c.Flags().BoolVarP(&opts.quiet, "quiet", "q", false, "do not print the key")
	c.Flags().BoolVar(&opts.dryRun, "dry-run", false, "show what would be made, and do nothing")
	c.Flags().BoolVar(&opts.json, "json", false, "print JSON, one object a line")
	usage.ForceFlag(c, &opts.force)
	_ = c.RegisterFlagCompletionFunc("env", complete.New(a).Environments)
	return c
}

// maxCount is more keys than anybody means to make at once.
const maxCount = 1_000_000

func runCreate(ctx context.Context, a *app.App, opts createOptions) error {
	draft := apikey.Record{Environment: opts.environment}
	if err := opts.apply(&draft, a.Now()); err != nil {
		return err
	}
	if strings.TrimSpace(draft.Owner) == "" {
		return cli.WithHint(cli.Usagef("a key needs an owner"), "give --owner: the application, team or customer that the key identifies")
	}
	if opts.count < 1 || opts.count > maxCount {
		return cli.Usagef("--count is between 1 and %d", maxCount)
	}
	if err := checkEnvironment(a, draft.Environment); err != nil {
		return err
	}
	dests, err := newKeyDestinations(a, &draft, opts)
	if err != nil {
		return err
	}
	if err := delivery.CheckConflicts(ctx, a, draft.Destinations, nil, opts.force); err != nil {
		return err
	}
	if opts.dryRun {
		printCreatePlan(a, draft, opts.count)
		return nil
	}
	if err := askLiveKeyNote(ctx, a, &draft, opts); err != nil {
		return err
	}
	first := isFirstRegistry(ctx, a)
	g, err := appkeys.Open(ctx, a, true)
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
	if first {
		a.Note("The registry of keys is on this machine alone. To share it, set FOB_REGISTRY to a")
		a.Note("PostgreSQL database, and move what is here: 'fob key export' and 'fob key import'.")
	}
	return nil
}

// newKeyDestinations completes the draft and refuses what no key can have or go to.
func newKeyDestinations(a *app.App, draft *apikey.Record, opts createOptions) ([]destination.Destination, error) {
	switch {
	case opts.quiet && len(opts.To) == 0:
		return nil, cli.WithHint(cli.Usagef("with --quiet nobody would have the key"), "name a destination with --to, or leave --quiet out")
	case opts.count > 1 && len(opts.To) > 0:
		return nil, cli.WithHint(cli.Usagef("--to is for one key, and --count makes %d", opts.count), "make the keys that go somewhere one by one")
	}
	dests, err := delivery.KeyDestinations(a, opts.To, opts.As, draft.Environment)
	if err != nil {
		return nil, err
	}
	draft.Destinations = delivery.DestinationNames(dests)
	return dests, checkDraft(draft, "create")
}

func printCreatePlan(a *app.App, draft apikey.Record, count int) {
	a.Note("would make %s for %s, environment %s.", cli.Plural(count, "key", "keys"), sanitize.Line(draft.Owner), draft.Environment)
	for _, name := range draft.Destinations {
		a.Note("would deliver it to %s.", name)
	}
}

// createAndDeliver makes one key and brings it where it is used. A key that arrived
// nowhere and was not printed is revoked: nobody has it.
func createAndDeliver(ctx context.Context, a *app.App, g *keys.Registrar, draft apikey.Record, dests []destination.Destination, opts createOptions) error {
	defer cli.OutliveBrokenPipe()()
	minted, records, err := g.Create(ctx, draft, 1)
	if err != nil {
		return err
	}
	key, r := minted[0], records[0]
	failed := delivery.Deliver(ctx, a, dests, key.Key)
	var failures cli.Failures
	if errors.As(failed, &failures) && len(failures) == len(dests) && opts.quiet && !slices.ContainsFunc(failures, delivery.MayHaveArrived) {
		return append(failures, revokeUndelivered(ctx, g, records, 0, "delivered", errors.New("see above")))
	}
	if !opts.quiet {
		if err := delivery.PrintNewKey(a, key, r, opts.json); err != nil {
			return append(failures, cli.WithHint(cli.Unfinishedf("key %s was made and could not be printed: %s", r.ID, err), "see where stdout goes; 'fob key rotate %s' makes another", r.ID))
		}
	}
	if failed != nil {
		return append(failures, cli.WithHint(cli.Unfinishedf("key %s was made and is not everywhere", r.ID),
			"'fob key push %s <FILE' brings the key that was printed; 'fob key rotate %s --overlap 0s' another", r.ID, r.ID))
	}
	noteCreated(a, r, opts.quiet)
	return nil
}

// checkDraft refuses what a key cannot have.
func checkDraft(draft *apikey.Record, command string) error {
	if err := draft.CheckDraft(); err != nil {
		return cli.WithHint(cli.AsUsage(err), "see 'fob key %s --help'", command)
	}
	return nil
}

// askLiveKeyNote asks for the note of a live key: on the day of a compromise it says what has
// to be changed.
func askLiveKeyNote(ctx context.Context, a *app.App, draft *apikey.Record, opts createOptions) error {
	if draft.Environment != liveEnvironment || draft.Note != "" || opts.yes {
		return nil
	}
	note, err := a.AskFor(ctx, "Where does this live key go?", func(note string) error {
		noted := *draft
		noted.Note = note
		return checkDraft(&noted, "create")
	})
	if errors.Is(err, cli.ErrNoTerminal) {
		return cli.WithHint(cli.Usagef("a live key needs a note of where it goes"), "give --note 'web server, Frankfurt', or --yes to do without")
	}
	draft.Note = note
	return err
}

// createKeys makes keys batch by batch and prints each once it is kept.
func createKeys(ctx context.Context, a *app.App, g *keys.Registrar, draft apikey.Record, opts createOptions) error {
	defer cli.OutliveBrokenPipe()()
	bar := a.NewProgress("creating", int64(opts.count))
	defer bar.End()
	var last apikey.Record
	for made := 0; made < opts.count; {
		minted, records, err := g.Create(ctx, draft, min(keys.BatchSize, opts.count-made))
		if err != nil {
			bar.End()
			if made == 0 {
				return err
			}
			next := fmt.Sprintf("make the rest with '--count %d': those were printed", opts.count-made)
			return interruptedError(ctx, a, err, fmt.Sprintf("%d of %d keys were made", made, opts.count), next)
		}
		for i := range minted {
			if err := delivery.PrintNewKey(a, minted[i], records[i], opts.json); err != nil {
				bar.End()
				return revokeUndelivered(ctx, g, records[i:], made+i, "printed", err)
			}
		}
		made += len(minted)
		last = records[len(records)-1]
		bar.At(int64(made), "")
	}
	bar.End()
	if opts.count > 1 {
		a.Note("Made %d keys for %s. They are not shown again.", opts.count, last.Owner)
		return nil
	}
	noteCreated(a, last, false)
	return nil
}

func noteCreated(a *app.App, r apikey.Record, quiet bool) {
	ends := "it does not expire"
	if !r.ExpiresAt.IsZero() {
		ends = "it ends at " + cli.TimeText(r.ExpiresAt)
	}
	shown := " It is not shown again."
	if quiet {
		shown = ""
	}
	a.Note("Made key %s; %s.%s", appkeys.Text(r), ends, shown)
}

// revokeUndelivered revokes keys that could not be printed or delivered: nobody has them.
func revokeUndelivered(ctx context.Context, g *keys.Registrar, records []apikey.Record, printed int, verb string, why error) error {
	ids := recordIDs(records)
	what := cli.Plural(len(ids), "key", "keys")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if _, err := g.Revoke(ctx, ids, "it could not be "+verb); err != nil {
		return cli.WithHint(fmt.Errorf("%s made and not %s: %w; and not revoked: %w", what, verb, why, err), "revoke what nobody has: 'fob key revoke %s'", strings.Join(ids, " "))
	}
	if printed > 0 {
		what += fmt.Sprintf(" (the first %d are good)", printed)
	}
	revoked := "it was revoked at once, and nobody has it"
	if len(ids) > 1 {
		revoked = "they were revoked at once, and nobody has them"
	}
	return cli.WithHint(cli.Unfinishedf("%s could not be %s; %s: %s", what, verb, revoked, why), "%s", map[string]string{
		"printed":   "see where stdout goes, then try again",
		"delivered": "mend what is named above, then try again",
	}[verb])
}

// isFirstRegistry reports whether this machine's own registry is about to be made.
func isFirstRegistry(ctx context.Context, a *app.App) bool {
	if _, own, err := appkeys.RegistryName(a); err != nil || !own {
		return false
	}
	isFirst := true
	err := appkeys.IfAny(ctx, a, func(*keys.Registrar) error {
		isFirst = false
		return nil
	})
	return err == nil && isFirst
}
