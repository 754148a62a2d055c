package key

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
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

func TestRevoke(t *testing.T) {
	m := apptest.New(t, "")
	_, first := create(t, m)
	text, second := create(t, m)
	_, _, err := run(m, "", "revoke", "--owner", "shop")
	wantError(t, "without confirmation", err, true, "--yes")
	_, _, err = run(m, "", "revoke")
	wantError(t, "no filter", err, true, "--owner")
	_, _, err = run(m, "", "revoke", "--owner", "nobody")
	wantError(t, "no match", err, false, "fob key list")
	_, _, err = run(m, "", "revoke", first, "--reason", "two\nlines")
	wantError(t, "reason", err, true, "reason")
	if _, stderr := mustRun(t, m, "", "revoke", "--owner", "shop", "--dry-run"); !strings.Contains(stderr, first) || !strings.Contains(stderr, second) {
		t.Errorf("dry run: %s", stderr)
	}
	for _, id := range []string{first, second} {
		if r := record(t, m, id); r.State(m.Time) != apikey.Active {
			t.Fatalf("%s is %s", id, r.State(m.Time))
		}
	}
	mustRun(t, m, text, "revoke", "--key-stdin", "--reason", "found in a log")
	if r := record(t, m, second); r.State(m.Time) != apikey.Revoked {
		t.Error("the key on stdin is not revoked")
	}
	if log, _ := mustRun(t, m, "", "audit", second); !strings.Contains(log, "found in a log") {
		t.Errorf("the reason is not in the log: %s", log)
	}
	mustRun(t, m, "", "revoke", "--owner", "shop", "--yes")
	if r := record(t, m, first); r.State(m.Time) != apikey.Revoked {
		t.Error("not revoked by its owner")
	}
	if _, stderr := mustRun(t, m, "", "revoke", first); !strings.Contains(stderr, "already revoked") {
		t.Errorf("again: %s", stderr)
	}
}

// A process that was killed after it had revoked many keys leaves only their records to
// complete: the same command does that.
func TestRevoke_KilledBeforeTheRecords(t *testing.T) {
	m := apptest.New(t, "")
	const count = keys.BatchSize + 2
	mustRun(t, m, "", "create", "--owner", "shop", "--count", fmt.Sprint(count))
	withRegistry(t, m, func(g *keys.Registrar) {
		all, err := g.Select(t.Context(), apikey.Filter{Owner: "shop"})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := g.Revoke(t.Context(), recordIDs(all), "lost"); n != count || err != nil {
			t.Fatal(n, err)
		}
	})
	for command, want := range map[string]string{
		"audit --verify":                "The revocation of 502 keys is unfinished: run 'fob key revoke --resume'",
		"revoke --owner shop --dry-run": "would add the audit entries of 502 revoked keys",
		"revoke --resume --dry-run":     "would add the audit entries of 502 revoked keys",
	} {
		if _, stderr := mustRun(t, m, "", strings.Fields(command)...); !strings.Contains(stderr, want) {
			t.Errorf("%s: %s", command, stderr)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	withRegistry(t, m, func(g *keys.Registrar) {
		g.Now = func() time.Time { cancel(); return m.Time } // an interruption while entries are added
		var notes []string
		m.Notes = func(line string) { notes = append(notes, line) }
		if _, err := finish(ctx, m.App, g, false); !errors.Is(err, context.Canceled) || !slices.Contains(notes, "Revoked 502 keys; 0 have their audit entry. Run the same command again to add the rest.") {
			t.Errorf("interrupted: %v, %q", err, notes)
		}
	})
	m.Notes = nil
	dsn := "sqlite:" + filepath.Join(m.Home, "data", "registry.db")
	if counts, err := appkeys.Count(t.Context(), dsn, m.Time, time.Minute); err != nil || counts.Pending != count {
		t.Errorf("%+v, %v", counts, err)
	}
	if _, stderr := mustRun(t, m, "", "revoke", "--owner", "shop", "--yes"); !strings.Contains(stderr, "Added the audit entries of 502 revoked keys.") {
		t.Error(stderr)
	}
	if _, stderr := mustRun(t, m, "", "revoke", "--resume"); stderr != "No unfinished revocation.\n" {
		t.Error(stderr)
	}
	if _, stderr := mustRun(t, m, "", "audit", "--verify"); !strings.Contains(stderr, fmt.Sprintf("%d changes", 2*count+1)) {
		t.Errorf("not every revocation was recorded: %s", stderr)
	}
	_, _, err := run(m, "", "revoke", "--owner", "shop", "--yes")
	wantError(t, "a third time", err, false, "fob key list")
}

// However many keys are revoked, only some are held in memory at a time.
func TestRevoke_InPages(t *testing.T) {
	m := apptest.New(t, "")
	const page = keys.BatchSize + 1
	mustRun(t, m, "", "create", "--owner", "shop", "--count", fmt.Sprint(2*page+1))
	opts := revokeOptions{page: page}
	opts.Owner, opts.Yes = "shop", true
	if err := runRevoke(t.Context(), m.App, nil, opts); err != nil {
		t.Fatal(err)
	}
	if _, stderr := mustRun(t, m, "", "audit", "--verify"); strings.Contains(stderr, "unfinished") {
		t.Error(stderr)
	}
	changes := map[string]int{}
	withRegistry(t, m, func(g *keys.Registrar) {
		if _, err := g.Registry.Log(t.Context(), 0, func(l apikey.Logged) error {
			changes[l.Action]++
			return nil
		}); err != nil {
			t.Error(err)
		}
		for r, err := range g.Registry.Keys(t.Context(), apikey.Filter{}) {
			if err != nil || r.RevokedAt.IsZero() {
				t.Fatal(r, err)
			}
		}
	})
	if changes[apikey.ActionRevokeAll] != 2 || changes[apikey.ActionRevoked] != 2*page || changes[apikey.ActionRevoke] != 1 {
		t.Error(changes)
	}
}

// Keys that are created while the user is asked are not revoked with the later pages.
func TestRevoke_LaterPagesExcludeNewerKeys(t *testing.T) {
	m := apptest.New(t, "")
	var ids [3]string
	_, ids[0] = create(t, m)
	_, ids[1] = create(t, m)
	newest := m.Time
	m.Time = m.Time.Add(time.Millisecond)
	_, ids[2] = create(t, m)
	withRegistry(t, m, func(g *keys.Registrar) {
		opts := revokeOptions{page: 1, newest: newest}
		matching := g.Matching(t.Context(), apikey.Filter{Owner: "shop"})
		if revoked, err := revokePages(t.Context(), g, ids[:1], 2, matching, opts); revoked != 2 || err != nil {
			t.Error(revoked, err)
		}
	})
	for i, want := range []apikey.State{apikey.Revoked, apikey.Revoked, apikey.Active} {
		if r := record(t, m, ids[i]); r.State(m.Time) != want {
			t.Errorf("key %d is %s, not %s", i, r.State(m.Time), want)
		}
	}
}

// --resume finishes every interrupted revocation, so it cannot be limited to some keys.
func TestRevoke_ResumeSelectsNoKeys(t *testing.T) {
	m := apptest.New(t, "")
	_, id := create(t, m)
	for args, text := range map[string]string{
		"--owner shop": "--owner and --resume cannot be combined", "--env test": "--env and --resume", "--scope a": "--scope and --resume",
		"--state active": "--state and --resume", "--expiring 1d": "--expiring and --resume", "--unused 1d": "--unused and --resume",
		"--reason lost": "--reason and --resume", "--key-stdin": "--key-stdin and --resume", id: "--resume takes no id", id + " --env test": "--env and --resume",
	} {
		_, _, err := run(m, "", append([]string{"revoke", "--resume"}, strings.Fields(args)...)...)
		wantError(t, args, err, true, text)
	}
}

func TestRotate(t *testing.T) {
	m := apptest.New(t, "")
	text, id := create(t, m, "--to", m.Dotenv("KEY"), "--scope", "a:read")
	for _, test := range []struct {
		args []string
		text string
	}{
		{[]string{id, "--overlap", "long"}, "long"},
		{[]string{id, "--overlap", "1h", "--compromised"}, "--overlap"},
		{[]string{id, "--keep-until-delivered"}, "--compromised"},
		{[]string{id, "--to", m.Dotenv("KEY"), "--resume"}, "--resume"},
		{[]string{"--resume", "--owner", "shop"}, "--owner and --resume cannot be combined"},
		{nil, "--owner"},
		{[]string{"--owner", "shop"}, "--yes"},
	} {
		_, _, err := run(m, "", append([]string{"rotate"}, test.args...)...)
		wantError(t, strings.Join(test.args, " "), err, true, test.text)
	}
	if _, stderr := mustRun(t, m, "", "rotate", id, "--dry-run"); !strings.Contains(stderr, m.Dotenv("KEY")) || !strings.Contains(m.Env(), text) {
		t.Errorf("dry run: %s", stderr)
	}
	stdout, stderr := mustRun(t, m, "", "rotate", id, "--overlap", "2d")
	next := idOf(t, stdout)
	if old, r := record(t, m, id), record(t, m, next); old.State(m.Time) != apikey.Retiring || r.Predecessor != id || len(r.Scopes) != 1 || !strings.Contains(stderr, "2 days") {
		t.Errorf("%s, %+v: %s", old.State(m.Time), r, stderr)
	}
	if !strings.Contains(m.Env(), strings.TrimSpace(stdout)) {
		t.Error("the new key was not delivered")
	}
	_, _, err := run(m, "", "rotate", id)
	if !errors.Is(err, keys.ErrRotated) {
		t.Errorf("rotated again: %v", err)
	}
	if stdout, _ := mustRun(t, m, "", "rotate", next, "--compromised", "--quiet"); stdout != "" {
		t.Error("--quiet prints the key")
	}
	if r := record(t, m, next); r.State(m.Time) != apikey.Revoked {
		t.Errorf("the compromised key is %s", r.State(m.Time))
	}
}

func TestRotate_QuietNeedsADestination(t *testing.T) {
	m := apptest.New(t, "")
	_, id := create(t, m)
	_, _, err := run(m, "", "rotate", id, "--quiet")
	wantError(t, "--quiet", err, true, "--to")
	_, second := create(t, m)
	_, _, err = run(m, "", "rotate", id, second, "--to", m.Dotenv("KEY"))
	wantError(t, "--to for two keys", err, true, "--to")
}

// Many leaked keys cannot all be replaced at once: how many are accepted meanwhile, and for
// how long, is printed first.
func TestRotate_ManyCompromised(t *testing.T) {
	m := apptest.New(t, "")
	_, first := create(t, m)
	_, second := create(t, m)
	_, stderr := mustRun(t, m, "", "rotate", first, second, "--compromised")
	if !strings.Contains(stderr, "Replacing 2 keys one by one: each is accepted until its replacement is delivered, at most 30 s after its turn begins.") {
		t.Errorf("%s", stderr)
	}
}

// A bulk rotation that is run again skips the keys that it has made.
func TestRotate_BulkIsRepeatable(t *testing.T) {
	m := apptest.New(t, "")
	create(t, m)
	create(t, m)
	stdout, _ := mustRun(t, m, "", "rotate", "--owner", "shop", "--yes")
	if lines := strings.Split(strings.TrimSpace(stdout), "\n"); len(lines) != 2 || len(strings.Fields(lines[0])) != 2 {
		t.Fatalf("not one line per key, the old id and the new key: %s", stdout)
	}
	_, stderr, err := run(m, "", "rotate", "--owner", "shop", "--yes")
	if err != nil || !strings.Contains(stderr, "Skipped 2 keys") {
		t.Errorf("%v: %s", err, stderr)
	}
	m.Time = m.Time.Add(13 * time.Hour)
	if stdout, _ := mustRun(t, m, "", "rotate", "--owner", "shop", "--yes"); strings.Count(stdout, "\n") != 2 {
		t.Errorf("the next day: %s", stdout)
	}
}

// A failed delivery leaves the old key as it is, and --resume continues.
func TestRotate_FailedDeliveryAndResume(t *testing.T) {
	m := apptest.New(t, "[commands]\nbroken = [\"false\"]\n")
	_, id := create(t, m)
	mustRun(t, m, "", "update", id, "--to", "exec:broken", "--to", m.Dotenv("KEY"))
	_, other := create(t, m)
	stdout, _, err := run(m, "", "rotate", id, other)
	if !errors.Is(err, keys.ErrNotDelivered) || strings.Count(stdout, "\n") != 1 {
		t.Fatalf("%v: %s", err, stdout)
	}
	if r := record(t, m, id); r.State(m.Time) != apikey.Active {
		t.Errorf("the old key is %s", r.State(m.Time))
	}
	if r := record(t, m, other); r.State(m.Time) != apikey.Retiring {
		t.Errorf("the failure stopped the other key: %s", r.State(m.Time))
	}
	if _, stderr := mustRun(t, m, "", "rotate", "--resume", "--dry-run"); !strings.Contains(stderr, id) || strings.Contains(stderr, other) {
		t.Errorf("dry run: %s", stderr)
	}
	mustRun(t, m, "", "update", id, "--to", m.Dotenv("KEY")) // the other destination is no more
	if _, stderr := mustRun(t, m, "", "rotate", "--resume", "--json"); !strings.Contains(stderr, m.Dotenv("KEY")) {
		t.Errorf("%s", stderr)
	}
	if _, stderr := mustRun(t, m, "", "rotate", "--resume", other); !strings.Contains(stderr, "No ") {
		t.Errorf("nothing to resume: %s", stderr)
	}
}

func TestInterruptedError(t *testing.T) {
	failed := errors.New("registry is read-only")
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for _, test := range []struct {
		ctx        context.Context
		text, hint string
		noted      int // lines
	}{
		{t.Context(), "1 of 2: registry is read-only", "run it again", 0},
		{stopped, "registry is read-only", "", 2},
	} {
		m := apptest.New(t, "")
		err := interruptedError(test.ctx, m.App, failed, "1 of 2", "run it again")
		if !errors.Is(err, failed) || err.Error() != test.text || cli.CarriedHint(err) != test.hint || strings.Count(m.Err.String(), "\n") != test.noted {
			t.Errorf("%+v: %v, %q, %s", test, err, cli.CarriedHint(err), m.Err.String())
		}
	}
}

func TestBulkFlags_ConfirmShowsTheFirstKeys(t *testing.T) {
	m := apptest.New(t, "")
	records := make([]apikey.Record, 7)
	for i := range records {
		records[i].ID = fmt.Sprintf("id%d", i)
	}
	err := (&bulkFlags{}).confirm(t.Context(), m.App, records, len(records), "revoke")
	wantError(t, "not a terminal", err, true, "7 keys")
	if shown := m.Err.String(); !strings.Contains(shown, "id4") || strings.Contains(shown, "id5") || !strings.Contains(shown, "2 more") {
		t.Errorf("%s", shown)
	}
	for _, f := range []bulkFlags{{Yes: true}, {DryRun: true}, {ids: []string{"id0"}}} {
		if err := f.confirm(t.Context(), m.App, records, len(records), "revoke"); err != nil {
			t.Errorf("%+v: %v", f, err)
		}
		if err := f.confirm(t.Context(), m.App, nil, 0, "revoke"); err == nil {
			t.Errorf("%+v: no keys match, and no error", f)
		}
	}
}
