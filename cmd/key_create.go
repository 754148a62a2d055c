package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/destination"
	"github.com/fobcli/fob/internal/registrar"
	"github.com/fobcli/fob/internal/safetext"
)

type keyCreateOptions struct {
	keyFlags
	destinationFlags
	environment string
	count       int
	quiet       bool
	dryRun      bool
	force       bool
	yes, json   bool
}

// liveEnvironment is where a key can do harm.
const liveEnvironment = "live"

func newKeyCreateCmd(a *app) *cobra.Command {
	var opts keyCreateOptions
	c := &cobra.Command{
		Use:   "create --owner OWNER",
		Short: "Make an API key, and print it once",
		Long: `Make an API key. It is printed on stdout, now and never again: the registry keeps
a hash. All else goes to stderr. With --count each key has a line of its own, and
with --json each line is an object.

With --to the key goes where it is used as well, and so will all its successors:
see 'fob help destinations'.

` + exitHelp(exitDone, exitFailed, exitUsage, exitUnavailable, exitStorage, exitLockTimeout, exitInterrupted),
		Example: `  fob key create --owner billing --env test --scope orders:read --expires 90d
  fob key create --owner shop --env live --note 'web server, Frankfurt' >key.txt
  fob key create --owner shop --to github:acme/web#API_KEY --quiet`,
		Args: noKeyArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runKeyCreate(cmd, a, opts)
		},
	}
	opts.keyFlags.register(c)
	opts.destinationFlags.register(c, "deliver the key here")
	c.Flags().StringVar(&opts.environment, "env", "test", "the `ENVIRONMENT` that the key is for")
	c.Flags().IntVar(&opts.count, "count", 1, "make `N` of them")
	c.Flags().BoolVarP(&opts.yes, "yes", "y", false, "do not ask where a live key goes")
	c.Flags().BoolVarP(&opts.quiet, "quiet", "q", false, "do not print the key")
	c.Flags().BoolVar(&opts.dryRun, "dry-run", false, "show what would be made, and do nothing")
	c.Flags().BoolVar(&opts.json, "json", false, "print JSON, one object a line")
	forceFlag(c, &opts.force)
	_ = c.RegisterFlagCompletionFunc("env", completionsOf(a).completeEnvironments)
	return c
}

// maxCount is more keys than anybody means to make at once.
const maxCount = 1_000_000

func runKeyCreate(cmd *cobra.Command, a *app, opts keyCreateOptions) error {
	ctx := cmd.Context()
	draft := apikey.Record{Environment: opts.environment}
	if err := opts.apply(cmd, &draft, a.now()); err != nil {
		return err
	}
	if strings.TrimSpace(draft.Owner) == "" {
		return withHint(usagef("a key needs an owner"), "give --owner: the application, team or customer that the key identifies")
	}
	if opts.count < 1 || opts.count > maxCount {
		return usagef("--count is between 1 and %d", maxCount)
	}
	if err := a.checkEnvironment(draft.Environment); err != nil {
		return err
	}
	to, err := a.whereNewKeyGoes(&draft, opts)
	if err != nil {
		return err
	}
	if places := newPlaces(draft.Destinations, nil); !opts.force {
		if err := a.refuseTaken(ctx, places); err != nil {
			return err
		}
	}
	if opts.dryRun {
		a.foretellKey(draft, opts.count)
		return nil
	}
	if err := a.askWhereLiveKeyGoes(ctx, &draft, opts); err != nil {
		return err
	}
	first := a.isFirstRegistry(ctx)
	g, err := a.registrar(ctx, true)
	if err != nil {
		return err
	}
	defer g.Close()
	if len(to) > 0 {
		err = a.createAndDeliver(ctx, g, draft, to, opts)
	} else {
		err = a.createKeys(ctx, g, draft, opts)
	}
	if err != nil {
		return err
	}
	if first {
		a.note("The registry of keys is on this machine alone. To share it, set FOB_REGISTRY to a")
		a.note("PostgreSQL database, and move what is here: 'fob key export' and 'fob key import'.")
	}
	return nil
}

// whereNewKeyGoes completes the draft and refuses what no key can have or go to.
func (a *app) whereNewKeyGoes(draft *apikey.Record, opts keyCreateOptions) ([]destination.Destination, error) {
	switch {
	case opts.quiet && len(opts.to) == 0:
		return nil, withHint(usagef("with --quiet nobody would have the key"), "name a destination with --to, or leave --quiet out")
	case opts.count > 1 && len(opts.to) > 0:
		return nil, withHint(usagef("--to is for one key, and --count makes %d", opts.count), "make the keys that go somewhere one by one")
	}
	to, err := a.keyDestinations(opts.to, opts.as, draft.Environment)
	if err != nil {
		return nil, err
	}
	draft.Destinations = namesOf(to)
	return to, checkDraft(draft)
}

func (a *app) foretellKey(draft apikey.Record, count int) {
	a.note("would make %s for %s, environment %s.", plural(count, "key", "keys"), safetext.Line(draft.Owner), draft.Environment)
	for _, name := range draft.Destinations {
		a.note("would deliver it to %s.", name)
	}
}

// createAndDeliver makes one key and brings it where it is used. A key that arrived
// nowhere and was not printed is revoked: nobody has it.
func (a *app) createAndDeliver(ctx context.Context, g *registrar.Registrar, draft apikey.Record, to []destination.Destination, opts keyCreateOptions) error {
	defer outliveBrokenPipe()()
	minted, records, err := g.Create(ctx, draft, 1)
	if err != nil {
		return err
	}
	key, r := minted[0], records[0]
	failed := a.deliver(ctx, to, key.Key)
	var places failures
	if errors.As(failed, &places) && len(places) == len(to) && opts.quiet && !slices.ContainsFunc(places, mayHaveArrived) {
		return append(places, withdraw(ctx, g, records, 0, "delivered", errors.New("see above")))
	}
	if !opts.quiet {
		if err := a.printNewKey(key, r, opts.json); err != nil {
			return append(places, withHint(leftf("key %s was made and could not be printed: %s", r.ID, err), "see where stdout goes; 'fob key rotate %s' makes another", r.ID))
		}
	}
	if failed != nil {
		return append(places, withHint(leftf("key %s was made and is not everywhere", r.ID),
			"'fob key push %s <FILE' brings the key that was printed; 'fob key rotate %s --overlap 0s' another", r.ID, r.ID))
	}
	a.noteMade(r, opts.quiet)
	return nil
}

// checkDraft refuses what a key cannot have.
func checkDraft(draft *apikey.Record) error {
	if err := draft.CheckDraft(); err != nil {
		return withHint(usageOf(err), "see 'fob key create --help'")
	}
	return nil
}

// askWhereLiveKeyGoes wants a note of each live key: on the day of a compromise it
// says what has to be changed.
func (a *app) askWhereLiveKeyGoes(ctx context.Context, draft *apikey.Record, opts keyCreateOptions) error {
	if draft.Environment != liveEnvironment || draft.Note != "" || opts.yes {
		return nil
	}
	note, err := a.askFor(ctx, "Where does this live key go?", func(note string) error {
		noted := *draft
		noted.Note = note
		return checkDraft(&noted)
	})
	if errors.Is(err, errNoTerminal) {
		return withHint(usagef("a live key needs a note of where it goes"), "give --note 'web server, Frankfurt', or --yes to do without")
	}
	draft.Note = note
	return err
}

// createKeys makes keys batch by batch and prints each once it is kept.
func (a *app) createKeys(ctx context.Context, g *registrar.Registrar, draft apikey.Record, opts keyCreateOptions) error {
	defer outliveBrokenPipe()()
	bar := a.newProgress("creating", int64(opts.count))
	defer bar.end()
	var last apikey.Record
	for made := 0; made < opts.count; {
		minted, records, err := g.Create(ctx, draft, min(registrar.BatchSize, opts.count-made))
		if err != nil {
			bar.end()
			if made == 0 {
				return err
			}
			next := fmt.Sprintf("make the rest with '--count %d': those were printed", opts.count-made)
			return a.cutShort(ctx, err, fmt.Sprintf("%d of %d keys were made", made, opts.count), next)
		}
		for i := range minted {
			if err := a.printNewKey(minted[i], records[i], opts.json); err != nil {
				bar.end()
				return withdraw(ctx, g, records[i:], made+i, "printed", err)
			}
		}
		made += len(minted)
		last = records[len(records)-1]
		bar.at(int64(made), "")
	}
	bar.end()
	if opts.count > 1 {
		a.note("Made %d keys for %s. They are not shown again.", opts.count, last.Owner)
		return nil
	}
	a.noteMade(last, false)
	return nil
}

func (a *app) noteMade(r apikey.Record, quiet bool) {
	ends := "it does not expire"
	if !r.ExpiresAt.IsZero() {
		ends = "it ends at " + timeText(r.ExpiresAt)
	}
	shown := " It is not shown again."
	if quiet {
		shown = ""
	}
	a.note("Made key %s; %s.%s", keyText(r), ends, shown)
}

// withdraw revokes keys that could not be printed or delivered: nobody has them.
func withdraw(ctx context.Context, g *registrar.Registrar, records []apikey.Record, printed int, verb string, why error) error {
	ids := make([]string, len(records))
	for i, r := range records {
		ids[i] = r.ID
	}
	what := plural(len(ids), "key", "keys")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if _, err := g.Revoke(ctx, ids, "it could not be "+verb); err != nil {
		return withHint(fmt.Errorf("%s made and not %s: %w; and not revoked: %w", what, verb, why, err), "revoke what nobody has: 'fob key revoke %s'", strings.Join(ids, " "))
	}
	if printed > 0 {
		what += fmt.Sprintf(" (the first %d are good)", printed)
	}
	revoked := "it was revoked at once, and nobody has it"
	if len(ids) > 1 {
		revoked = "they were revoked at once, and nobody has them"
	}
	return withHint(leftf("%s could not be %s; %s: %s", what, verb, revoked, why), "%s", map[string]string{
		"printed":   "see where stdout goes, then try again",
		"delivered": "mend what is named above, then try again",
	}[verb])
}

// outliveBrokenPipe lets fob tell what became of keys whose reader has gone away: the
// signal would end it without a word. The returned function undoes it.
func outliveBrokenPipe() func() {
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	return func() { signal.Stop(broken) }
}

// newKeyJSONLine is a key on the one occasion that it is shown.
type newKeyJSONLine struct {
	Key string `json:"key"`
	keyJSON
	Replaces string `json:"replaces,omitempty"`
}

// printNewKey prints a key, the whole line at once.
func (a *app) printNewKey(key apikey.Minted, r apikey.Record, asJSON bool) error {
	if asJSON {
		return a.printLine(newKeyJSONLine{Key: key.Key.Reveal(), keyJSON: newKeyJSON(r, a.now()), Replaces: r.Predecessor})
	}
	return a.stdout.printf("%s\n", key.Key.Reveal())
}

// isFirstRegistry reports whether this machine's own registry is about to be made.
func (a *app) isFirstRegistry(ctx context.Context) bool {
	if _, own, err := a.registryName(); err != nil || !own {
		return false
	}
	g, err := a.registrar(ctx, false)
	if err == nil {
		g.Close()
	}
	return errors.Is(err, apikey.ErrNoRegistry)
}
