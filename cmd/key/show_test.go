package key

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app/apptest"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
)

func TestList(t *testing.T) {
	m := apptest.New(t, "")
	_, id := create(t, m, "--scope", "a:read", "--note", "rack 1", "--expires", "10d")
	create(t, m, "--env", "dev", "--expires", "30d")
	table, _ := mustRun(t, m, "", "list")
	if lines := strings.Split(table, "\n"); len(lines) != 4 || !strings.HasPrefix(lines[0], "ID") || !strings.Contains(table, "in 10 days") || !strings.Contains(table, "rack 1") {
		t.Errorf("%s", table)
	}
	for _, test := range []struct {
		args []string
		want int
	}{
		{nil, 2},
		{[]string{"--env", "dev"}, 1},
		{[]string{"--expiring", "14d"}, 1},
		{[]string{"--scope", "a:read"}, 1},
		{[]string{"--state", "revoked"}, 0},
		{[]string{"--unused", "1d"}, 0}, // they are new
		{[]string{"--owner", "other"}, 0},
	} {
		stdout, _ := mustRun(t, m, "", append([]string{"list", "--json"}, test.args...)...)
		var list []appkeys.JSON
		if err := json.Unmarshal([]byte(stdout), &list); err != nil || len(list) != test.want {
			t.Errorf("%q: %d keys, %v", test.args, len(list), err)
		}
		_, _, err := run(m, "", append([]string{"list", "--exit-code"}, test.args...)...)
		if found := errors.As(err, new(*cli.FindingsError)); found != (test.want > 0) {
			t.Errorf("%q --exit-code: %v", test.args, err)
		}
	}
	if stdout, stderr := mustRun(t, m, "", "list", "--owner", "other"); stdout != "" || stderr == "" {
		t.Errorf("no keys: %q %q", stdout, stderr)
	}
	m.Time = m.Time.Add(11 * 24 * time.Hour)
	if stdout, _ := mustRun(t, m, "", "list", "--state", "expired"); !strings.Contains(stdout, id) {
		t.Errorf("expired: %s", stdout)
	}
}

func TestList_RevokedKeysDoNotExpire(t *testing.T) {
	m := apptest.New(t, "")
	_, id := create(t, m, "--expires", "10d")
	mustRun(t, m, "", "revoke", id)
	if table, _ := mustRun(t, m, "", "list"); strings.Contains(table, "over") || strings.Contains(table, "days") {
		t.Error(table)
	}
}

func TestList_SortAndLimit(t *testing.T) {
	m := apptest.New(t, "")
	_, late := create(t, m, "--owner", "b", "--expires", "30d")
	_, never := create(t, m, "--owner", "c", "--expires", "never")
	_, soon := create(t, m, "--owner", "a", "--expires", "10d")
	for _, test := range []struct {
		args []string
		want []string
	}{
		{[]string{"--sort", "expires"}, []string{soon, late, never}},
		{[]string{"--sort", "owner"}, []string{soon, late, never}},
		{[]string{"--sort", "expires", "--limit", "1"}, []string{soon}},
		{[]string{"--sort", "expires", "--limit", "9"}, []string{soon, late, never}},
	} {
		stdout, notes := mustRun(t, m, "", append([]string{"list", "--json"}, test.args...)...)
		var list []appkeys.JSON
		if err := json.Unmarshal([]byte(stdout), &list); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, k := range list {
			ids = append(ids, k.ID)
		}
		if !slices.Equal(ids, test.want) || strings.Contains(notes, "There are more keys") != (len(ids) == 1) {
			t.Errorf("%q: %q, not %q; %s", test.args, ids, test.want, notes)
		}
	}
	for _, args := range [][]string{{"--sort", "age"}, {"--limit", "-1"}} {
		if _, _, err := run(m, "", append([]string{"list"}, args...)...); !cli.IsUsage(err) || cli.CarriedHint(err) == "" {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestShow(t *testing.T) {
	m := apptest.New(t, "")
	_, id := create(t, m, "--scope", "a:read", "--meta", "team=a", "--to", m.Dotenv("KEY"))
	stdout, _ := mustRun(t, m, "", "rotate", id, "--overlap", "2d")
	next := idOf(t, stdout)
	shown, _ := mustRun(t, m, "", "show", id)
	for _, want := range []string{"team=a", "retiring", m.Dotenv("KEY"), id + " → " + next, "in 2 days"} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in\n%s", want, shown)
		}
	}
	shown, _ = mustRun(t, m, "", "show", id, "--json")
	var out struct {
		ID        string
		Chain     []string
		Rotations []struct {
			Successor  string
			Phase      apikey.Phase
			Deliveries []apikey.Delivery
		}
	}
	if err := json.Unmarshal([]byte(shown), &out); err != nil || out.ID != id || len(out.Chain) != 2 || out.Chain[1] != next ||
		len(out.Rotations) != 1 || out.Rotations[0].Phase != apikey.PhaseOverlap || len(out.Rotations[0].Deliveries) != 2 {
		t.Errorf("%s: %v", shown, err)
	}
	if _, _, err := run(m, "", "show", "1OOivdDZfQCU"); !errors.Is(err, apikey.ErrNotFound) {
		t.Error(err)
	}
	_, _, err := run(m, "", "show", "fob_test_1OOivdDZfQCU_bt6gO89NcUzYEW1pIKnvsU7LGdgMmGxA18PCV4")
	if err == nil || strings.Contains(err.Error()+cli.CarriedHint(err), "bt6gO89") {
		t.Errorf("a whole key as an argument: %v", err)
	}
}

// What others wrote into the registry reaches no terminal as it is.
func TestKeyRows_AreInert(t *testing.T) {
	hostile := "\x1b[31mred\u202e"
	r := apikey.Record{ID: "id", Owner: hostile, Note: hostile, Scopes: []string{hostile}, Metadata: map[string]string{hostile: hostile}, Destinations: []string{hostile}}
	rotations := []apikey.Rotation{{New: "next", Phase: apikey.PhaseDelivering, Deliveries: []apikey.Delivery{{Destination: hostile, Error: hostile}, {Destination: "b"}}}}
	labels := map[string]int{}
	for _, row := range keyRows(r, []string{"id", hostile}, rotations, time.Now()) {
		labels[row[0]]++
		if strings.ContainsAny(row[1], "\x1b\u202e") {
			t.Errorf("%q", row)
		}
	}
	if labels["revoked"] > 0 || labels["goes to"]+labels["destination"] != 1 || labels["owner"] != 1 {
		t.Errorf("rows: %v", labels)
	}
}

func TestVerify(t *testing.T) {
	m := apptest.New(t, "")
	good, id := create(t, m, "--scope", "a:read", "--expires", "2d")
	disabled, disabledID := create(t, m)
	revoked, revokedID := create(t, m)
	mustRun(t, m, "", "update", disabledID, "--disabled")
	mustRun(t, m, "", "revoke", revokedID)
	for _, test := range []struct {
		name, key string
		args      []string
		reason    apikey.Reason
		id        string // in the JSON
	}{
		{"good", good, nil, "", id},
		{"with a newline", good + "\n", []string{"--scope", "a:read", "--env", "test"}, "", id},
		{"scope", good, []string{"--scope", "a:write"}, apikey.OutOfScope, id},
		{"environment", good, []string{"--env", "live"}, apikey.OtherEnvironment, ""},
		{"disabled", disabled, nil, apikey.IsDisabled, disabledID},
		{"revoked", revoked, nil, apikey.IsRevoked, revokedID},
		{"mistyped", good[:len(good)-1] + "_", nil, apikey.Malformed, ""},
		{"unknown", "fob_test_1OOivdDZfQCU_bt6gO89NcUzYEW1pIKnvsU7LGdgMmGxA", nil, apikey.Unknown, ""},
	} {
		stdout, _, err := run(m, test.key, append([]string{"verify", "--json"}, test.args...)...)
		var refused *apikey.RefusedError
		isRefused := errors.As(err, &refused)
		if isRefused != (test.reason != "") || isRefused && refused.Reason != test.reason && test.name != "mistyped" && test.name != "unknown" {
			t.Errorf("%s: %v", test.name, err)
		}
		var out struct {
			Valid  bool
			Reason apikey.Reason
			ID     string
		}
		if jsonErr := json.Unmarshal([]byte(stdout), &out); jsonErr != nil || out.Valid == isRefused || out.ID != test.id || isRefused && out.Reason != refused.Reason {
			t.Errorf("%s: %s %v", test.name, stdout, jsonErr)
		}
		if named, ok := errors.AsType[*keys.KeyError](err); ok != (isRefused && test.id != "") || ok && named.ID != test.id {
			t.Errorf("%s: the error names no key for the hint: %v", test.name, err)
		}
		if strings.Contains(stdout, strings.TrimSpace(test.key)) {
			t.Errorf("%s: the key is shown", test.name)
		}
	}
	if stdout, stderr := mustRun(t, m, good, "verify"); stdout != "" || !strings.Contains(stderr, id) {
		t.Errorf("%q %q", stdout, stderr)
	}
	_, _, err := run(m, good, "verify", "--scope", "a b")
	wantError(t, "--scope", err, true, "scope")
	_, _, err = run(m, "", "verify")
	wantError(t, "no key", err, true, "stdin")
	if listed, _ := mustRun(t, m, "", "list", "--json", "--scope", "a:read"); !strings.Contains(listed, `"uses": 3`) {
		t.Errorf("the uses are not counted: %s", listed)
	}
	m.Time = m.Time.Add(3 * 24 * time.Hour)
	if _, _, err := run(m, good, "verify"); !errors.As(err, new(*apikey.RefusedError)) {
		t.Errorf("expired: %v", err)
	}
}

func TestAudit(t *testing.T) {
	m := apptest.New(t, "")
	_, first := create(t, m)
	_, second := create(t, m)
	mustRun(t, m, "", "update", second, "--note", "rack 1")
	for _, test := range []struct {
		args []string
		text string
	}{
		{[]string{"--head", "1:ab"}, "--verify"},
		{[]string{"--verify", first}, "--verify"},
		{[]string{"--verify", "--head", "x"}, "head"},
		{[]string{"--last", "-1"}, "--last"},
		{[]string{"--verify", "--json"}, "--json"},
	} {
		_, _, err := run(m, "", append([]string{"audit"}, test.args...)...)
		wantError(t, strings.Join(test.args, " "), err, true, test.text)
	}
	for _, test := range []struct {
		args []string
		want int // entries
	}{{nil, 3}, {[]string{"--last", "1"}, 1}, {[]string{"--last", "0"}, 3}, {[]string{second}, 2}, {[]string{first, second}, 3}} {
		stdout, _ := mustRun(t, m, "", append([]string{"audit", "--json"}, test.args...)...)
		if got := strings.Count(stdout, "\n"); got != test.want {
			t.Errorf("%q: %d entries: %s", test.args, got, stdout)
		}
	}
	table, _ := mustRun(t, m, "", "audit", second)
	if !strings.Contains(table, "note") || strings.Contains(table, first) {
		t.Errorf("%s", table)
	}
	head, _ := mustRun(t, m, "", "audit", "--verify")
	mustRun(t, m, "", "update", first, "--note", "rack 2")
	mustRun(t, m, "", "audit", "--verify", "--head", strings.TrimSpace(head))
	_, _, err := run(m, "", "audit", "--verify", "--head", "99:"+strings.TrimSpace(head)[2:])
	if !errors.As(err, new(*apikey.TamperedError)) {
		t.Errorf("a log that is shorter than before: %v", err)
	}
	_, _, err = run(m, "", "audit", "--verify", "--head", "1"+head[strings.Index(head, ":"):len(head)-1])
	if err == nil || !strings.HasPrefix(err.Error(), "entry 1 differs from the saved head: ") {
		t.Errorf("another log: %v", err)
	}
}
