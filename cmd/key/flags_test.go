package key

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/app/apptest"
)

// parsed returns the flags of create and update after they were parsed.
func parsed(t *testing.T, args ...string) *keyFlags {
	t.Helper()
	var parsed keyFlags
	c := usage.Command("", &cobra.Command{}, keyFlags{}, func(_ context.Context, _ string, _ []string, f keyFlags) error {
		parsed = f
		return nil
	})
	c.SetArgs(args)
	if err := c.Execute(); err != nil {
		t.Fatal(err)
	}
	return &parsed
}

func TestKeyFlags_Apply(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	before := apikey.Record{Owner: "shop", Scopes: []string{"a:read"}, Note: "rack 1", Rate: "1/s", ExpiresAt: now.Add(time.Hour), Metadata: map[string]string{"team": "a"}}
	for _, test := range []struct {
		args  []string
		check func(apikey.Record) bool
		text  string // of the error
	}{
		{nil, func(r apikey.Record) bool {
			return r.Owner == "shop" && slices.Equal(r.Scopes, before.Scopes) && r.Note == "rack 1" && r.Rate == "1/s" && r.ExpiresAt.Equal(before.ExpiresAt) && maps.Equal(r.Metadata, before.Metadata)
		}, ""},
		{[]string{"--owner", ""}, func(r apikey.Record) bool { return r.Owner == "" }, ""},
		{[]string{"--scope", "b:read", "--scope", "b:write"}, func(r apikey.Record) bool { return slices.Equal(r.Scopes, []string{"b:read", "b:write"}) }, ""},
		{[]string{"--note", ""}, func(r apikey.Record) bool { return r.Note == "" && r.Rate == "1/s" }, ""},
		{[]string{"--expires", "never"}, func(r apikey.Record) bool { return r.ExpiresAt.IsZero() }, ""},
		{[]string{"--expires", "90d"}, func(r apikey.Record) bool { return r.ExpiresAt.Equal(now.Add(90 * 24 * time.Hour)) }, ""},
		{[]string{"--expires", "2w"}, func(r apikey.Record) bool { return r.ExpiresAt.Equal(now.Add(14 * 24 * time.Hour)) }, ""},
		{[]string{"--expires", "12h"}, func(r apikey.Record) bool { return r.ExpiresAt.Equal(now.Add(12 * time.Hour)) }, ""},
		{[]string{"--expires", "2027-01-31"}, func(r apikey.Record) bool {
			return r.ExpiresAt.Equal(time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC))
		}, ""},
		{[]string{"--expires", "2027-01-31T12:00:00+02:00"}, func(r apikey.Record) bool {
			return r.ExpiresAt.Equal(time.Date(2027, 1, 31, 10, 0, 0, 0, time.UTC))
		}, ""},
		{[]string{"--expires", "2026-11-29"}, nil, "2026-11-29"},
		{[]string{"--expires", "0d"}, nil, "0d"},
		{[]string{"--expires", "-1h"}, nil, "-1h"},
		{[]string{"--expires", ""}, nil, `""`},
		{[]string{"--meta", "team=b", "--meta", "floor=2=3"}, func(r apikey.Record) bool {
			return maps.Equal(r.Metadata, map[string]string{"team": "b", "floor": "2=3"})
		}, ""},
		{[]string{"--meta", "team=", "--meta", "absent="}, func(r apikey.Record) bool { return len(r.Metadata) == 0 }, ""},
		{[]string{"--meta", "team"}, nil, "team"},
		{[]string{"--meta", "=x"}, nil, "=x"},
	} {
		r := before
		err := parsed(t, test.args...).apply(&r, now)
		wantError(t, strings.Join(test.args, " "), err, true, test.text)
		if test.check != nil && !test.check(r) {
			t.Errorf("%q: %+v", test.args, r)
		}
		if before.Metadata["team"] != "a" {
			t.Fatalf("%q changed the record before", test.args)
		}
	}
}

func TestFilterFlags_Filter(t *testing.T) {
	m := apptest.New(t, "[keys]\nenvironments = [\"test\", \"prod\"]\n")
	for _, test := range []struct {
		flags filterFlags
		want  apikey.Filter
		text  string
	}{
		{filterFlags{Owner: "shop", Environment: "prod", Scope: "a:read"}, apikey.Filter{Owner: "shop", Environment: "prod", Scope: "a:read"}, ""},
		{filterFlags{States: []string{"active", "retiring"}}, apikey.Filter{States: []apikey.State{apikey.Active, apikey.Retiring}}, ""},
		{filterFlags{Expiring: "14d"}, apikey.Filter{EndsBefore: m.Time.Add(14 * 24 * time.Hour)}, ""},
		{filterFlags{Unused: "90d"}, apikey.Filter{UnusedSince: m.Time.Add(-90 * 24 * time.Hour)}, ""},
		{filterFlags{Environment: "live"}, apikey.Filter{}, "test, prod"},
		{filterFlags{Environment: "prdo"}, apikey.Filter{}, "prod"},
		{filterFlags{Scope: "a b"}, apikey.Filter{}, "scope"},
		{filterFlags{Expiring: "soon"}, apikey.Filter{}, "soon"},
		{filterFlags{Unused: "-1d"}, apikey.Filter{}, "-1d"},
	} {
		got, err := test.flags.filter(m.App, nil)
		wantError(t, test.text, err, true, test.text)
		if err == nil && (got.Owner != test.want.Owner || got.Environment != test.want.Environment || got.Scope != test.want.Scope ||
			!slices.Equal(got.States, test.want.States) || !got.EndsBefore.Equal(test.want.EndsBefore) || !got.UnusedSince.Equal(test.want.UnusedSince)) {
			t.Errorf("%+v: %+v", test.flags, got)
		}
	}
}

func TestCanChange(t *testing.T) {
	for state, want := range map[apikey.State][2]bool{ // rotate, revoke
		apikey.Active: {true, true}, apikey.Disabled: {true, true}, apikey.Retiring: {false, true},
		apikey.Revoked: {false, false}, apikey.Expired: {false, false},
	} {
		if got := [2]bool{canChange("rotate", state), canChange("revoke", state)}; got != want {
			t.Errorf("%s: %v", state, got)
		}
	}
}
