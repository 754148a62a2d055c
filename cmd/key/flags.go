package key

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
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
)

type keyFlags struct {
	owner   string
	scopes  []string
	expires string
	rate    string
	note    string
	meta    []string
	changed func(flag string) bool
}

func (f *keyFlags) register(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.owner, "owner", "", "the key's `OWNER`: an application, team or customer")
	flags.StringArrayVar(&f.scopes, "scope", nil, "a `SCOPE` of the key, such as orders:read; repeatable")
	flags.StringVar(&f.expires, "expires", "", "`WHEN` it expires: 90d, 12h, 2027-01-31 or never")
	flags.StringVar(&f.rate, "rate", "", "rate limit: `COUNT/UNIT`, such as 100/s (s, min, h, d)")
	flags.StringVar(&f.note, "note", "", "a `NOTE`: where the key is used, and for what")
	flags.StringArrayVar(&f.meta, "meta", nil, "metadata of your own: `NAME=VALUE`; repeatable")
	f.changed = flags.Changed
}

func (f *keyFlags) apply(r *apikey.Record, now time.Time) error {
	if f.changed("owner") {
		r.Owner = f.owner
	}
	if f.changed("scope") {
		r.Scopes = withoutEmpty(f.scopes)
	}
	if f.changed("note") {
		r.Note = f.note
	}
	if f.changed("rate") {
		r.Rate = f.rate
	}
	if f.changed("expires") {
		at, err := cli.ParseWhen(f.expires, now)
		if err != nil {
			return err
		}
		r.ExpiresAt = at
	}
	r.Metadata = maps.Clone(r.Metadata)
	for _, pair := range f.meta {
		name, value, found := strings.Cut(pair, "=")
		if !found || name == "" {
			return cli.WithHint(cli.Usagef("invalid metadata %q", pair), "use --meta NAME=VALUE; --meta NAME= removes a name")
		}
		if r.Metadata == nil {
			r.Metadata = map[string]string{}
		}
		if r.Metadata[name] = value; value == "" {
			delete(r.Metadata, name)
		}
	}
	return nil
}

// withoutEmpty removes empty values: a flag with one means none.
func withoutEmpty(values []string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(value string) bool { return value == "" })
}

type filterFlags struct {
	owner, environment, scope string
	states                    []string
	expiring, unused          string
}

const stateNames = "active, disabled, retiring, revoked, expired"

func (f *filterFlags) register(a *app.App, c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.owner, "owner", "", "only keys of this `OWNER`")
	flags.StringVar(&f.environment, "env", "", "only keys of this `ENVIRONMENT`")
	flags.StringVar(&f.scope, "scope", "", "only keys with this `SCOPE`")
	flags.StringArrayVar(&f.states, "state", nil, "only in this `STATE`: "+stateNames)
	flags.StringVar(&f.expiring, "expiring", "", "only keys that expire within this `TIME`, as in 14d")
	flags.StringVar(&f.unused, "unused", "", "only keys unused for this `TIME`, as in 90d")
	usage.RefuseEmpty(c, "owner", "env", "scope", "expiring", "unused")
	_ = c.RegisterFlagCompletionFunc("env", complete.New(a).Environments)
	_ = c.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(strings.Split(stateNames, ", "), cobra.ShellCompDirectiveNoFileComp))
}

func (f *filterFlags) filter(a *app.App, ids []string) (apikey.Filter, error) {
	filter := apikey.Filter{IDs: ids, Owner: f.owner, Environment: f.environment, Scope: f.scope}
	for _, name := range f.states {
		state := apikey.State(name)
		if !slices.Contains(apikey.States(), state) {
			return filter, cli.WithHint(cli.Usagef("unknown state %q", name), "the states are active, disabled, retiring, revoked and expired")
		}
		filter.States = append(filter.States, state)
	}
	if f.scope != "" {
		if err := checkScope(f.scope); err != nil {
			return filter, err
		}
	}
	if err := checkEnvironment(a, f.environment); err != nil {
		return filter, err
	}
	if f.expiring != "" {
		span, err := cli.ParseSpan(f.expiring)
		if err != nil {
			return filter, err
		}
		filter.EndsAfter, filter.EndsBefore = a.Now(), a.Now().Add(span)
	}
	if f.unused != "" {
		span, err := cli.ParseSpan(f.unused)
		if err != nil {
			return filter, err
		}
		filter.UnusedSince = a.Now().Add(-span)
	}
	return filter, nil
}

func checkScope(scope string) error {
	return cli.WithHint(cli.AsUsage(apikey.CheckScope(scope)), "write it as 'fob key show ID' prints it, as in orders:read")
}

// checkEnvironment rejects an environment that is not configured, which may be a typing
// error. Empty is none.
func checkEnvironment(a *app.App, name string) error {
	if name == "" {
		return nil
	}
	format, err := appkeys.Format(a)
	if err != nil || slices.Contains(format.Environments, name) {
		return err
	}
	err = cli.Usagef("unknown environment %q", name)
	if near := cli.Nearest(name, format.Environments); near != "" {
		return cli.WithHint(err, "did you mean %s?", near)
	}
	return cli.WithHint(err, "the environments are %s: see 'environments' under [keys] in config.toml", strings.Join(format.Environments, ", "))
}

type bulkFlags struct {
	filterFlags
	ids         []string
	yes, dryRun bool
}

func (f *bulkFlags) register(a *app.App, c *cobra.Command) {
	f.filterFlags.register(a, c)
	c.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask for confirmation")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "show which keys would change, and do nothing")
}

// matching returns the keys for a bulk command: those of the ids, or those that the flags
// select and whose state allows the change.
func (f *bulkFlags) matching(ctx context.Context, a *app.App, g *keys.Registrar, verb string) (iter.Seq2[apikey.Record, error], error) {
	filter, err := f.filter(a, f.ids)
	if err != nil {
		return nil, err
	}
	if filter.IsZero() {
		return nil, cli.WithHint(cli.Usagef("which keys?"), "name them by their ids, or select them with --owner, --env, --scope or --state")
	}
	return func(yield func(apikey.Record, error) bool) {
		for r, err := range g.Matching(ctx, filter) {
			isIncluded := len(f.ids) > 0 || len(f.states) > 0 || canChange(verb, r.State(a.Now()))
			if (err != nil || isIncluded) && !yield(r, err) {
				return
			}
		}
	}, nil
}

// canChange excludes keys that need no change, so that an interrupted bulk command can be
// run again.
func canChange(verb string, state apikey.State) bool {
	return state == apikey.Active || state == apikey.Disabled || verb == "revoke" && state == apikey.Retiring
}

// maxShown is how many of the keys that flags select are shown before the question.
const maxShown = 5

// confirm asks before changing keys that were not named by id, and shows some of them.
func (f *bulkFlags) confirm(ctx context.Context, a *app.App, some []apikey.Record, count int, verb string) error {
	if count == 0 {
		return cli.WithHint(errors.New("no keys match"), "run 'fob key list' to see all keys and their states")
	}
	if len(f.ids) > 0 || f.yes || f.dryRun {
		return nil
	}
	what := cli.Plural(count, "key", "keys")
	some = some[:min(maxShown, len(some))]
	for _, r := range some {
		a.Note("  %s", appkeys.Text(r))
	}
	if count > len(some) {
		a.Note("  and %d more", count-len(some))
	}
	unasked := cli.WithHint(cli.Usagef("refusing to %s %s without confirmation (not a terminal)", verb, what), "check which with --dry-run, then use --yes")
	return a.Confirm(ctx, fmt.Sprintf("%s %s?", strings.ToUpper(verb[:1])+verb[1:], what), unasked)
}

func printPlan(a *app.App, verb string, r apikey.Record, more string) {
	state := r.State(a.Now())
	if canChange(verb, state) || verb == "revoke" && state == apikey.Expired {
		a.Note("would %s %s%s.", verb, appkeys.Text(r), more)
	} else {
		a.Note("would not %s %s: it is %s.", verb, appkeys.Text(r), state)
	}
}

// interruptedError adds to the error of a bulk command what was done before it, and how to
// continue.
func interruptedError(ctx context.Context, a *app.App, err error, done, next string) error {
	if ctx.Err() != nil {
		a.Note("%s.", done)
		a.Note("To continue, %s.", next)
		return err
	}
	return cli.WithHint(fmt.Errorf("%s: %w", done, err), "%s", next)
}
