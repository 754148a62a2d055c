package key

import (
	"context"
	"errors"
	"fmt"
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

// keyFlags are the properties of a key that create and update set.
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
	flags.StringVar(&f.owner, "owner", "", "the `OWNER`: an application, team or customer")
	flags.StringArrayVar(&f.scopes, "scope", nil, "a `SCOPE`: resource:action, * for all; repeatable")
	flags.StringVar(&f.expires, "expires", "", "`WHEN` the key ends: 90d, 12h, 2027-01-31, or never")
	flags.StringVar(&f.rate, "rate", "", "how often: `COUNT/UNIT`, UNIT being s, min, h, d")
	flags.StringVar(&f.note, "note", "", "a `NOTE`: where the key goes, what it is for")
	flags.StringArrayVar(&f.meta, "meta", nil, "a `NAME=VALUE` of your own; repeatable")
	f.changed = flags.Changed
}

// apply puts the flags that were given into a record.
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
			return cli.WithHint(cli.Usagef("%q is no metadata", pair), "write --meta NAME=VALUE; --meta NAME= removes one")
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

// withoutEmpty leaves out empty values: a flag with one means none.
func withoutEmpty(values []string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(value string) bool { return value == "" })
}

// filterFlags select keys.
type filterFlags struct {
	owner, environment, scope string
	states                    []string
	expiring, unused          string
}

func (f *filterFlags) register(a *app.App, c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.owner, "owner", "", "keys of this `OWNER`")
	flags.StringVar(&f.environment, "env", "", "keys of this `ENVIRONMENT`")
	flags.StringVar(&f.scope, "scope", "", "keys that have this `SCOPE`")
	flags.StringArrayVar(&f.states, "state", nil, "keys in a `STATE`: active, disabled, retiring, revoked or expired")
	flags.StringVar(&f.expiring, "expiring", "", "keys that end within this `TIME`, as in 14d")
	flags.StringVar(&f.unused, "unused", "", "keys unused for this `TIME`, as in 90d")
	usage.RefuseEmpty(c, "owner", "env", "scope", "expiring", "unused")
	_ = c.RegisterFlagCompletionFunc("env", complete.New(a).Environments)
	_ = c.RegisterFlagCompletionFunc("state", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var names []string
		for _, state := range apikey.States() {
			names = append(names, string(state))
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}

// filter joins the flags and the ids that were given.
func (f *filterFlags) filter(a *app.App, ids []string) (apikey.Filter, error) {
	filter := apikey.Filter{IDs: ids, Owner: f.owner, Environment: f.environment, Scope: f.scope}
	for _, name := range f.states {
		state := apikey.State(name)
		if !slices.Contains(apikey.States(), state) {
			return filter, cli.WithHint(cli.Usagef("there is no state %q", name), "the states are active, disabled, retiring, revoked and expired")
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
		filter.EndsBefore = a.Now().Add(span)
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
	if err := apikey.CheckScope(scope); err != nil {
		return cli.WithHint(cli.AsUsage(err), "write it as it stands in the key: 'fob key show ID'")
	}
	return nil
}

// checkEnvironment refuses an environment that is not configured: with a typing error there
// would be a set of keys of its own. Empty is none.
func checkEnvironment(a *app.App, name string) error {
	if name == "" {
		return nil
	}
	format, err := appkeys.Format(a)
	if err != nil || slices.Contains(format.Environments, name) {
		return err
	}
	err = cli.Usagef("there is no environment %q", name)
	if near := cli.Nearest(name, format.Environments); near != "" {
		return cli.WithHint(err, "did you mean %s?", near)
	}
	return cli.WithHint(err, "there are %s; 'environments' under [keys] in the configuration says so", strings.Join(format.Environments, ", "))
}

// bulkFlags are those of commands that change many keys.
type bulkFlags struct {
	filterFlags
	ids         []string
	yes, dryRun bool
}

func (f *bulkFlags) register(a *app.App, c *cobra.Command) {
	f.filterFlags.register(a, c)
	c.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "show which keys are meant, and do nothing")
}

// selectKeys returns the keys that a bulk command is to change: those of the ids, or those
// that the flags select and that are in a state for it.
func (f *bulkFlags) selectKeys(ctx context.Context, a *app.App, g *keys.Registrar, verb string) ([]apikey.Record, error) {
	filter, err := f.filter(a, f.ids)
	if err != nil {
		return nil, err
	}
	if filter.IsZero() {
		return nil, cli.WithHint(cli.Usagef("no key is named"), "name keys by their ids, or by --owner, --env, --scope and the like")
	}
	records, err := g.Select(ctx, filter)
	if err == nil && len(f.ids) == 0 && len(f.states) == 0 {
		records = slices.DeleteFunc(records, func(r apikey.Record) bool { return !canChange(verb, r.State(a.Now())) })
	}
	return records, err
}

// canChange leaves out the keys that a bulk command has nothing to do with, so that it can
// be run again after it was interrupted.
func canChange(verb string, state apikey.State) bool {
	return state == apikey.Active || state == apikey.Disabled || verb == "revoke" && state == apikey.Retiring
}

// confirm asks before keys are changed that no id names.
func (f *bulkFlags) confirm(ctx context.Context, a *app.App, records []apikey.Record, verb string) error {
	if len(records) == 0 {
		return cli.WithHint(errors.New("no key is meant by that"), "'fob key list' with the same flags shows all that it means, and their states")
	}
	if len(f.ids) > 0 || f.yes || f.dryRun {
		return nil
	}
	const most = 5
	what := cli.Plural(len(records), "key", "keys")
	for _, r := range records[:min(most, len(records))] {
		a.Note("  %s", appkeys.Text(r))
	}
	if len(records) > most {
		a.Note("  and %d more", len(records)-most)
	}
	unasked := cli.WithHint(cli.Usagef("this would %s %s, and there is nobody to ask", verb, what), "see which with --dry-run, then give --yes")
	return a.Confirm(ctx, fmt.Sprintf("%s %s?", strings.ToUpper(verb[:1])+verb[1:], what), unasked)
}

// printPlan notes what a bulk command would do with a key, and more about it.
func printPlan(a *app.App, verb string, r apikey.Record, more string) {
	state := r.State(a.Now())
	if canChange(verb, state) || verb == "revoke" && state == apikey.Expired {
		a.Note("would %s %s%s.", verb, appkeys.Text(r), more)
	} else {
		a.Note("would not %s %s: it is %s.", verb, appkeys.Text(r), state)
	}
}

// interruptedError adds to the error of a command that changes many keys what was done before it,
// and how to continue.
func interruptedError(ctx context.Context, a *app.App, err error, done, next string) error {
	if ctx.Err() != nil {
		a.Note("%s.", done)
		if next != "" {
			a.Note("To go on, %s.", next)
		}
		return err
	}
	err = fmt.Errorf("%s: %w", done, err)
	if next == "" {
		return err
	}
	return cli.WithHint(err, "%s", next)
}
