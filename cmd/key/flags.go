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

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
)

type keyFlags struct {
	Owner   string   `flag:"owner" help:"the key's {OWNER}: an application, team or customer"`
	Scopes  []string `flag:"scope" empty:"refused" help:"a {SCOPE} of the key, such as orders:read; repeatable"`
	Expires string   `flag:"expires" help:"{WHEN} it expires: 90d, 12h, 2027-01-31 or never"`
	Rates   []string `flag:"rate" empty:"refused" help:"rate limit: {COUNT/UNIT}, such as 100/s (s, min, h, d); repeatable"`
	Note    string   `flag:"note" help:"a {NOTE}: where the key is used, and for what"`
	Meta    []string `flag:"meta" help:"metadata of your own: {NAME=VALUE}; repeatable"`
	Given   usage.Given
}

func (f *keyFlags) apply(r *apikey.Record, now time.Time) error {
	if f.Given("owner") {
		r.Owner = f.Owner
	}
	if f.Given("scope") {
		r.Scopes = slices.Clone(f.Scopes)
	}
	if f.Given("note") {
		r.Note = f.Note
	}
	if f.Given("rate") {
		r.Rate = strings.Join(f.Rates, " ")
	}
	if f.Given("expires") {
		at, err := cli.ParseWhen(f.Expires, now)
		if err != nil {
			return err
		}
		r.ExpiresAt = at
	}
	r.Metadata = maps.Clone(r.Metadata)
	for _, pair := range f.Meta {
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

type filterFlags struct {
	Owner       string   `flag:"owner" empty:"refused" help:"only keys of this {OWNER}"`
	Environment string   `flag:"env" empty:"refused" help:"only keys of this {ENVIRONMENT}"`
	Scope       string   `flag:"scope" empty:"refused" help:"only keys with this {SCOPE}"`
	States      []string `flag:"state" values:"active disabled retiring revoked expired" help:"only in this {STATE}: active, disabled, retiring, revoked, expired"`
	Expiring    string   `flag:"expiring" empty:"refused" help:"only keys that expire within this {TIME}, as in 14d"`
	Unused      string   `flag:"unused" empty:"refused" help:"only keys unused for this {TIME}, as in 90d"`
}

func (f *filterFlags) filter(a *app.App, ids []string) (apikey.Filter, error) {
	filter := apikey.Filter{IDs: ids, Owner: f.Owner, Environment: f.Environment, Scope: f.Scope}
	for _, name := range f.States {
		filter.States = append(filter.States, apikey.State(name))
	}
	if f.Scope != "" {
		if err := checkScope(f.Scope); err != nil {
			return filter, err
		}
	}
	if err := checkEnvironment(a, f.Environment); err != nil {
		return filter, err
	}
	if f.Expiring != "" {
		span, err := cli.ParseSpan(f.Expiring)
		if err != nil {
			return filter, err
		}
		filter.EndsAfter, filter.EndsBefore = a.Now(), a.Now().Add(span)
	}
	if f.Unused != "" {
		span, err := cli.ParseSpan(f.Unused)
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
	ids    []string
	Yes    bool `flag:"yes,y" help:"do not ask for confirmation"`
	DryRun bool `flag:"dry-run" help:"show which keys would change, and do nothing"`
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
			isIncluded := len(f.ids) > 0 || len(f.States) > 0 || canChange(verb, r.State(a.Now()))
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
	if len(f.ids) > 0 || f.Yes || f.DryRun {
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
