package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/registrar"
	"github.com/fobcli/fob/internal/spelling"
)

// keyFlags are the properties of a key that create and update set.
type keyFlags struct {
	owner   string
	scopes  []string
	expires string
	rate    string
	note    string
	meta    []string
}

func (f *keyFlags) register(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.owner, "owner", "", "the `OWNER`: an application, team or customer")
	flags.StringArrayVar(&f.scopes, "scope", nil, "a `SCOPE`: resource:action, * for all; repeatable")
	flags.StringVar(&f.expires, "expires", "", "`WHEN` the key ends: 90d, 12h, 2027-01-31, or never")
	flags.StringVar(&f.rate, "rate", "", "how often: `COUNT/UNIT`, UNIT being s, min, h, d")
	flags.StringVar(&f.note, "note", "", "a `NOTE`: where the key goes, what it is for")
	flags.StringArrayVar(&f.meta, "meta", nil, "a `NAME=VALUE` of your own; repeatable")
}

// apply puts the flags that were given into a record.
func (f *keyFlags) apply(cmd *cobra.Command, r *apikey.Record, now time.Time) error {
	given := cmd.Flags().Changed
	if given("owner") {
		r.Owner = f.owner
	}
	if given("scope") {
		r.Scopes = slices.DeleteFunc(slices.Clone(f.scopes), func(s string) bool { return s == "" })
	}
	if given("note") {
		r.Note = f.note
	}
	if given("rate") {
		r.Rate = f.rate
	}
	if given("expires") {
		at, err := parseWhen(f.expires, now)
		if err != nil {
			return err
		}
		r.ExpiresAt = at
	}
	r.Metadata = maps.Clone(r.Metadata)
	for _, pair := range f.meta {
		name, value, found := strings.Cut(pair, "=")
		if !found || name == "" {
			return withHint(usagef("%q is no metadata", pair), "write --meta NAME=VALUE; --meta NAME= removes one")
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

// parseWhen reads a time to come: a span from now, a date or a time; never is the
// zero time.
func parseWhen(text string, now time.Time) (time.Time, error) {
	if text == "never" {
		return time.Time{}, nil
	}
	if span, err := parseSpan(text); err == nil && span > 0 {
		return now.Add(span).UTC(), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			if !at.After(now) {
				return at, withHint(usagef("%s is over", text), "give a time to come, or 'never'")
			}
			return at.UTC(), nil
		}
	}
	return time.Time{}, withHint(usagef("%q is no time to come", text), "as in 90d, 12h, 2027-01-31, 2027-01-31T12:00:00Z, or never")
}

// maxSpan is a hundred years: more is a slip.
const maxSpan = 100 * 366 * 24 * time.Hour

// parseSpan reads a duration; beside Go's units it takes d and w.
func parseSpan(text string) (time.Duration, error) {
	unit := map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour}[text[max(0, len(text)-1):]]
	span, err := time.ParseDuration(text)
	if unit != 0 {
		var n int
		n, err = strconv.Atoi(text[:len(text)-1])
		span = time.Duration(min(max(n, -1), int(maxSpan/unit)+1)) * unit
	}
	if err != nil || span < 0 || span > maxSpan {
		return 0, withHint(usagef("%q is no length of time", text), "as in 30m, 24h, 14d, 6w")
	}
	return span, nil
}

// filterFlags say which keys are meant.
type filterFlags struct {
	owner, environment, scope string
	states                    []string
	expiring, unused          string
}

func (f *filterFlags) register(a *app, c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.owner, "owner", "", "keys of this `OWNER`")
	flags.StringVar(&f.environment, "env", "", "keys of this `ENVIRONMENT`")
	flags.StringVar(&f.scope, "scope", "", "keys that have this `SCOPE`")
	flags.StringArrayVar(&f.states, "state", nil, "keys in a `STATE`: active, disabled, retiring, revoked or expired")
	flags.StringVar(&f.expiring, "expiring", "", "keys that end within this `TIME`, as in 14d")
	flags.StringVar(&f.unused, "unused", "", "keys unused for this `TIME`, as in 90d")
	refuseEmpty(c, "owner", "env", "scope", "expiring", "unused")
	_ = c.RegisterFlagCompletionFunc("env", completionsOf(a).completeEnvironments)
	_ = c.RegisterFlagCompletionFunc("state", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var names []string
		for _, state := range apikey.States() {
			names = append(names, string(state))
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}

// filter makes one of the flags and the ids that were given.
func (f *filterFlags) filter(a *app, ids []string) (apikey.Filter, error) {
	filter := apikey.Filter{IDs: ids, Owner: f.owner, Environment: f.environment, Scope: f.scope}
	for _, name := range f.states {
		state := apikey.State(name)
		if !slices.Contains(apikey.States(), state) {
			return filter, withHint(usagef("there is no state %q", name), "the states are active, disabled, retiring, revoked and expired")
		}
		filter.States = append(filter.States, state)
	}
	if f.scope != "" {
		if err := checkScope(f.scope); err != nil {
			return filter, err
		}
	}
	if f.environment != "" {
		if err := a.checkEnvironment(f.environment); err != nil {
			return filter, err
		}
	}
	if f.expiring != "" {
		span, err := parseSpan(f.expiring)
		if err != nil {
			return filter, err
		}
		filter.EndsBefore = a.now().Add(span)
	}
	if f.unused != "" {
		span, err := parseSpan(f.unused)
		if err != nil {
			return filter, err
		}
		filter.UnusedSince = a.now().Add(-span)
	}
	return filter, nil
}

func checkScope(scope string) error {
	if err := apikey.CheckScope(scope); err != nil {
		return withHint(usageOf(err), "write it as it stands in the key: 'fob key show ID'")
	}
	return nil
}

// checkEnvironment refuses an environment that is not configured: a slip would make
// a set of keys of its own.
func (a *app) checkEnvironment(name string) error {
	format, err := a.keyFormat()
	if err != nil {
		return err
	}
	known := format.Environments
	if slices.Contains(known, name) {
		return nil
	}
	err = usagef("there is no environment %q", name)
	if near := spelling.Nearest(name, known); near != "" {
		return withHint(err, "did you mean %s?", near)
	}
	return withHint(err, "there are %s; 'environments' under [keys] in the configuration says so", strings.Join(known, ", "))
}

// chosen collects the records that a filter means.
func (a *app) chosen(ctx context.Context, g *registrar.Registrar, filter apikey.Filter) ([]apikey.Record, error) {
	var records []apikey.Record
	for r, err := range g.Registry.Keys(ctx, filter) {
		if err != nil {
			return nil, err
		}
		if filter.Match(&r, a.now()) {
			records = append(records, r)
		}
	}
	for _, id := range filter.IDs {
		if !slices.ContainsFunc(records, func(r apikey.Record) bool { return r.ID == id }) {
			return nil, fmt.Errorf("key %s: %w", id, apikey.ErrNotFound)
		}
	}
	return records, nil
}

// bulkFlags are those of commands that change many keys.
type bulkFlags struct {
	filterFlags
	yes, dryRun bool
}

func (f *bulkFlags) register(a *app, c *cobra.Command) {
	f.filterFlags.register(a, c)
	c.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "show which keys are meant, and do nothing")
}

// narrowing leaves out of what flags mean.
type narrowing func([]apikey.Record) ([]apikey.Record, error)

// meant are the keys that a bulk command is to change: those named, or those that the
// filter means, that are not over and that narrow, if there is one, leaves in. It
// asks before more than the named ones are touched, but for a dry run.
func (f *bulkFlags) meant(ctx context.Context, a *app, g *registrar.Registrar, ids []string, verb string, narrow narrowing) ([]apikey.Record, error) {
	filter, err := f.filter(a, ids)
	if err != nil {
		return nil, err
	}
	if filter.IsZero() {
		return nil, withHint(usagef("no key is named"), "name keys by their ids, or by --owner, --env, --scope and the like")
	}
	records, err := a.chosen(ctx, g, filter)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 && len(f.states) == 0 {
		records = slices.DeleteFunc(records, func(r apikey.Record) bool { return !mayRotateOrRevoke(verb, r.State(a.now())) })
	}
	if len(ids) == 0 && narrow != nil {
		if records, err = narrow(records); err != nil {
			return nil, err
		}
	}
	switch {
	case len(records) == 0:
		return nil, withHint(errors.New("no key is meant by that"), "'fob key list' with the same flags shows all that it means, and their states")
	case len(ids) == 0 && !f.yes && !f.dryRun:
		return records, a.confirmBulk(ctx, records, verb)
	}
	return records, nil
}

// foretell says what a bulk command would do with a key, and what more comes of it.
func (a *app) foretell(verb string, r apikey.Record, more string) {
	state := r.State(a.now())
	if mayRotateOrRevoke(verb, state) || verb == "revoke" && state == apikey.Expired {
		a.note("would %s %s%s.", verb, keyText(r), more)
	} else {
		a.note("would not %s %s: it is %s.", verb, keyText(r), state)
	}
}

// mayRotateOrRevoke leaves out the keys that a bulk command has nothing to do with,
// so that it can be run again after it was cut short.
func mayRotateOrRevoke(verb string, state apikey.State) bool {
	return state == apikey.Active || state == apikey.Disabled || verb == "revoke" && state == apikey.Retiring
}

// confirmBulk shows how many keys are meant, and the first of them, and asks.
func (a *app) confirmBulk(ctx context.Context, records []apikey.Record, verb string) error {
	const shown = 5
	what := plural(len(records), "key", "keys")
	for _, r := range records[:min(shown, len(records))] {
		a.note("  %s", keyText(r))
	}
	if len(records) > shown {
		a.note("  and %d more", len(records)-shown)
	}
	unasked := withHint(usagef("this would %s %s, and there is nobody to ask", verb, what), "see which with --dry-run, then give --yes")
	return a.confirm(ctx, fmt.Sprintf("%s %s?", strings.ToUpper(verb[:1])+verb[1:], what), unasked)
}

// cutShort says how far a command came that changes many keys, whether it failed or was
// interrupted.
func (a *app) cutShort(ctx context.Context, err error, done, next string) error {
	if ctx.Err() == nil {
		return withHint(fmt.Errorf("%s: %w", done, err), "%s", cmp.Or(next, a.hint(err)))
	}
	a.note("%s.", done)
	if next != "" {
		a.note("To go on, %s.", next)
	}
	return err
}
