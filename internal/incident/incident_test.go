package incident

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app/apptest"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/delivery"
	"github.com/fobcli/fob/internal/destination"
)

const settings = "[commands]\nbroken = [\"false\"]\n"

// site is a machine with a registry.
type site struct {
	*apptest.Machine
	t *testing.T
	g *keys.Registrar
}

func newSite(t *testing.T) *site {
	t.Helper()
	m := apptest.New(t, settings)
	g, err := appkeys.Open(t.Context(), m.App, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return &site{m, t, g}
}

// issue creates a key and returns its text and its id.
func (s *site) issue(draft apikey.Record) (text, id string) {
	s.t.Helper()
	draft.Owner, draft.Environment = "shop", "live"
	minted, records, err := s.g.Create(s.t.Context(), draft, 1)
	if err != nil {
		s.t.Fatal(err)
	}
	return minted[0].Key.Reveal(), records[0].ID
}

func (s *site) state(id string) apikey.State {
	s.t.Helper()
	r, err := s.g.Find(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return r.State(s.Time)
}

// run runs 'fob incident' and returns its report.
func (s *site) run(stdin string, opts Options) (report string, err error) {
	s.t.Helper()
	s.Reset()
	s.In = strings.NewReader(stdin)
	opts.Output = filepath.Join(s.t.TempDir(), "report.md")
	err = Run(s.t.Context(), s.App, opts)
	text, _ := os.ReadFile(opts.Output)
	return string(text), err
}

func TestRun_ReplacesALeakedKey(t *testing.T) {
	s := newSite(t)
	text, id := s.issue(apikey.Record{Destinations: []string{s.Dotenv("KEY")}})
	report, err := s.run(text+"\n", Options{Yes: true})
	if err != nil {
		t.Fatal(err)
	}
	if s.state(id) != apikey.Revoked {
		t.Errorf("the leaked key is %s", s.state(id))
	}
	next := strings.TrimSpace(strings.TrimPrefix(s.Env(), "KEY="))
	if r, err := s.g.Verify(t.Context(), next, apikey.Need{Environment: "live"}); err != nil || r.Predecessor != id {
		t.Errorf("what was delivered: %v", err)
	}
	if s.Out.Len() > 0 {
		t.Error("a key that was delivered is printed too")
	}
	for _, want := range []string{id, s.Dotenv("KEY"), "`rotate`", "log was verified", "- [ ] "} {
		if !strings.Contains(report, want) {
			t.Errorf("no %q in\n%s", want, report)
		}
	}
	for _, hidden := range []string{text, next, text[len(text)-38:]} {
		if strings.Contains(report+s.Err.String(), hidden) {
			t.Error("a key stands in the report or on stderr")
		}
	}
}

// A key without a destination is replaced, and the new key printed behind the old id.
func TestRun_PrintsAKeyWithoutDestination(t *testing.T) {
	s := newSite(t)
	text, id := s.issue(apikey.Record{Note: "rack 1"})
	report, err := s.run(text, Options{Yes: true})
	fields := strings.Fields(s.Out.String())
	if err != nil || len(fields) != 2 || fields[0] != id {
		t.Fatalf("%v: %q", err, fields)
	}
	if _, err := s.g.Verify(t.Context(), fields[1], apikey.Need{}); err != nil || !strings.Contains(report, "rack 1") {
		t.Errorf("%v\n%s", err, report)
	}
}

func TestRun_RefusesBeforeItActs(t *testing.T) {
	s := newSite(t)
	text, id := s.issue(apikey.Record{})
	stranger, err := apikey.Mint("fob", "live")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, stdin string
		opts        Options
		text        string // of the error or its hint
	}{
		{"without confirmation", text, Options{}, "--yes"},
		{"no input", "", Options{Yes: true}, "stdin"},
		{"not a key", "hello", Options{Yes: true}, ""},
		{"of another registry", stranger.Key.Reveal(), Options{Yes: true}, ""},
		{"an unknown login", text, Options{Yes: true, As: []string{"absent"}}, "absent"},
		{"no report", "", Options{Yes: true, Report: "absent.json"}, "absent.json"},
		{"a report that is not JSON", "<html>", Options{Yes: true, Report: "-"}, "not JSON"},
		{"an invalid brand", "[]", Options{Yes: true, Report: "-", Brands: []string{"A!"}}, "brand"},
	} {
		report, err := s.run(test.stdin, test.opts)
		if err == nil || report != "" || !strings.Contains(err.Error()+" "+cli.CarriedHint(err), test.text) {
			t.Errorf("%s: %v (hint %q), %s", test.name, err, cli.CarriedHint(err), report)
		}
		if s.state(id) != apikey.Active {
			t.Fatalf("%s: the key is %s", test.name, s.state(id))
		}
	}
	if report, err := s.run(text, Options{DryRun: true}); err != nil || report != "" || s.state(id) != apikey.Active || !strings.Contains(s.Err.String(), id) {
		t.Errorf("dry run: %v %s", err, s.Err.String())
	}
	path := filepath.Join(t.TempDir(), "there.md")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.In = strings.NewReader(text)
	if err := Run(t.Context(), s.App, Options{Yes: true, Output: path}); !cli.IsUsage(err) || s.state(id) != apikey.Active {
		t.Errorf("an output that is there: %v", err)
	}
	s.In = strings.NewReader(text)
	if err := Run(t.Context(), s.App, Options{Yes: true, Output: filepath.Join(path, "x.md")}); err == nil || s.state(id) != apikey.Active {
		t.Errorf("an output that cannot be written: %v", err)
	}
}

// A report that only knows ids can be a trick to revoke good keys: such keys are skipped
// where nobody confirms, also with --yes.
func TestRun_UnprovenKeysAreNotReplaced(t *testing.T) {
	s := newSite(t)
	text, id := s.issue(apikey.Record{})
	_, redacted := s.issue(apikey.Record{})
	_, forged := s.issue(apikey.Record{})
	_, dead := s.issue(apikey.Record{})
	if _, err := s.g.Revoke(t.Context(), []string{dead}, ""); err != nil {
		t.Fatal(err)
	}
	stranger, err := apikey.Mint("fob", "live")
	if err != nil {
		t.Fatal(err)
	}
	input := fmt.Sprintf(`[{"Secret":%q,"File":"a.txt","StartLine":7},{"Secret":%q,"File":"b.txt"},{"Secret":"fob_live_%s_bt...","File":"c.txt"},{"Secret":"fob_live_%s_bt...","File":"d.txt"},{"Secret":"fob_live_%s_bt...","File":"e.txt"},{"Secret":%q,"File":"f.txt"}]`,
		text, text, redacted, forged, dead, stranger.Key.Reveal())
	report, err := s.run(input, Options{Yes: true, Report: "-"})
	if err == nil || !strings.Contains(err.Error(), "2 keys") {
		t.Errorf("%v", err)
	}
	for key, want := range map[string]apikey.State{id: apikey.Revoked, redacted: apikey.Active, forged: apikey.Active, dead: apikey.Revoked} {
		if s.state(key) != want {
			t.Errorf("%s is %s, not %s", key, s.state(key), want)
		}
	}
	for _, want := range []string{"a.txt:7", "b.txt", "1 key of other"} {
		if !strings.Contains(report, want) {
			t.Errorf("no %q in\n%s", want, report)
		}
	}
	if _, err := s.run(input, Options{Yes: true, Report: "-"}); err == nil {
		t.Error("again: the skipped keys are forgotten")
	}
	if report, err := s.run("[]", Options{Yes: true, Report: "-"}); err != nil || report != "" {
		t.Errorf("an empty report: %v %s", err, report)
	}
}

// The leaked key is revoked whatever fails, and what is left to do is said.
func TestRun_FailedDelivery(t *testing.T) {
	s := newSite(t)
	text, id := s.issue(apikey.Record{Destinations: []string{"exec:broken", "exec:absent", s.Dotenv("KEY")}})
	report, err := s.run(text, Options{Yes: true})
	if err == nil || s.state(id) != apikey.Revoked || !strings.Contains(s.Env(), "fob_live_") {
		t.Errorf("%v, %s, %s", err, s.state(id), s.Env())
	}
	var failures cli.Failures
	if !errors.As(err, &failures) || len(failures) != 3 { // both destinations, and what is left
		t.Errorf("%v", err)
	}
	for _, want := range []string{"exec:broken", "exec:absent", "fob key rotate --resume " + id, "`failed`", "`done`"} {
		if !strings.Contains(report, want) {
			t.Errorf("no %q in\n%s", want, report)
		}
	}
}

// The old key of a rotation that has come to its overlap has a new one: it is only revoked.
func TestRun_RevokesAKeyThatWasReplaced(t *testing.T) {
	s := newSite(t)
	text, id := s.issue(apikey.Record{})
	if _, err := s.g.Rotate(t.Context(), id, keys.RotateOptions{Overlap: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.run(text, Options{Yes: true}); err != nil || s.state(id) != apikey.Revoked || s.Out.Len() > 0 {
		t.Errorf("%v, %s, %q", err, s.state(id), s.Out.String())
	}
}

// fake is a destination that fails or not.
type fake struct {
	name string
	err  error
}

func (f fake) Name() string                                                { return f.name }
func (f fake) Deliver(context.Context, apikey.Minted, apikey.Record) error { return f.err }

func TestReplace_AllKeysAreReplacedWhateverFails(t *testing.T) {
	s := newSite(t)
	run := &incident{a: s.App, g: s.g}
	for i := range 6 {
		text, id := s.issue(apikey.Record{})
		r, err := s.g.Find(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		k := &leakedKey{record: r, text: text, dests: []keys.Destination{fake{name: "exec:a"}}}
		if i%2 == 1 {
			k.dests = append(k.dests, fake{"exec:b", errors.New("403 Forbidden")})
		}
		run.keys = append(run.keys, k)
	}
	run.replace(t.Context(), run.keys)
	if said := s.Err.String(); !strings.Contains(said, "Replacing 6 keys, 4 at a time: each is accepted until its replacement is delivered") {
		t.Errorf("how long the keys are accepted is not printed: %s", said)
	}
	for i, k := range run.keys {
		if !k.refused || k.replaced.New.ID == "" || (k.failed != nil) != (i%2 == 1) || s.state(k.record.ID) != apikey.Revoked {
			t.Errorf("%d: %s, refused %t: %v", i, s.state(k.record.ID), k.refused, k.failed)
		}
	}
	err := run.verdict(run.keys, errors.New("disk full"))
	if failures := cli.Failures(nil); !errors.As(err, &failures) || len(failures) != 3*2+1 {
		t.Errorf("%v", err)
	}
}

func TestVerdict(t *testing.T) {
	s := newSite(t)
	r := apikey.Record{ID: "old"}
	for _, test := range []struct {
		name     string
		key      leakedKey
		declined int
		lost     error
		want     int
		text     string
	}{
		{"replaced", leakedKey{record: r, text: "x", refused: true}, 0, nil, 0, ""},
		{"replaced, unproven", leakedKey{record: r}, 0, nil, 0, ""},
		{"still accepted", leakedKey{record: r, text: "x", accepted: true}, 0, nil, 1, "fob key revoke old"},
		{"failed", leakedKey{record: r, failed: keys.ErrRotating}, 0, nil, 1, "key old: another"},
		{"failed, with the id", leakedKey{record: r, failed: &keys.KeyError{ID: "old", Err: keys.ErrRotating}}, 0, nil, 1, "key old: another"},
		{"declined", leakedKey{record: r}, 2, nil, 1, "2 keys"},
		{"the report is lost", leakedKey{record: r}, 0, errors.New("disk full"), 1, "disk full"},
	} {
		err := (&incident{a: s.App, declined: test.declined}).verdict([]*leakedKey{&test.key}, test.lost)
		var failures cli.Failures
		if errors.As(err, &failures); len(failures) != test.want || test.want > 0 && !strings.Contains(err.Error()+cli.CarriedHint(err), test.text) {
			t.Errorf("%s: %v", test.name, err)
		}
		if err != nil && strings.Count(err.Error(), "key old:") > 1 {
			t.Errorf("%s: the key is named twice: %v", test.name, err)
		}
	}
}

func TestPlan(t *testing.T) {
	s := newSite(t)
	now := s.Time
	active := apikey.Record{ID: "active", Environment: "live", Destinations: []string{s.Dotenv("KEY"), "nowhere:x#y"}}
	for _, test := range []struct {
		name     string
		key      leakedKey
		replaced bool
		declined int
	}{
		{"live and proven", leakedKey{record: active, text: "x"}, true, 0},
		{"live and unproven", leakedKey{record: active}, false, 1},
		{"disabled", leakedKey{record: apikey.Record{ID: "disabled", Disabled: true}, text: "x"}, true, 0},
		{"retiring", leakedKey{record: apikey.Record{ID: "retiring", RetiresAt: now.Add(time.Hour)}, text: "x"}, true, 0},
		{"revoked", leakedKey{record: apikey.Record{ID: "revoked", RevokedAt: now}, text: "x"}, false, 0},
		{"expired", leakedKey{record: apikey.Record{ID: "expired", ExpiresAt: now}, text: "x"}, false, 0},
	} {
		run := &incident{a: s.App, opts: Options{Yes: true}, keys: []*leakedKey{&test.key}, g: s.g}
		todo, err := run.plan(t.Context())
		if err != nil || (len(todo) == 1) != test.replaced || run.declined != test.declined {
			t.Errorf("%s: %d to replace, %d declined, %v", test.name, len(todo), run.declined, err)
		}
	}
	k := &leakedKey{record: active}
	run := &incident{a: s.App, opts: Options{DryRun: true}, keys: []*leakedKey{k}, g: s.g}
	if _, err := run.plan(t.Context()); err != nil || len(k.dests) != 2 || delivery.Unusable(k.dests[0]) != nil || !errors.Is(delivery.Unusable(k.dests[1]), destination.ErrNotDelivered) {
		t.Errorf("%v, %v", k.dests, err)
	}
}

func TestShow_FirstLocations(t *testing.T) {
	s := newSite(t)
	k := &leakedKey{record: apikey.Record{ID: "old"}, text: "x"}
	for i := range 7 {
		k.found = append(k.found, fmt.Sprintf("file%d", i))
	}
	(&incident{a: s.App}).show(k)
	if shown := s.Err.String(); !strings.Contains(shown, "file4") || strings.Contains(shown, "file5") || !strings.Contains(shown, "2 more") {
		t.Errorf("%s", shown)
	}
}

// If fob was killed while it wrote the report, the same command with that file completes it.
func TestRun_CompletesAnUnfinishedReport(t *testing.T) {
	s := newSite(t)
	text, id := s.issue(apikey.Record{Destinations: []string{s.Dotenv("KEY")}})
	if _, err := s.run(text, Options{Yes: true}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "report.md")
	if err := os.WriteFile(path, []byte(unfinishedReport), 0o600); err != nil {
		t.Fatal(err)
	}
	s.In = strings.NewReader(text)
	if err := Run(t.Context(), s.App, Options{Yes: true, Output: path}); err != nil {
		t.Fatal(err)
	}
	report, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(report), "| revoked before |") || !strings.Contains(string(report), "`revoke` | `"+id+"`") {
		t.Errorf("%v\n%s", err, report)
	}
}

// A leaked replacement that another one has replaced since, in a rotation that is not
// finished: the incident is not over before that rotation is.
func TestRun_ResumesTheRotationOfAnEarlierReplacement(t *testing.T) {
	s := newSite(t)
	_, id := s.issue(apikey.Record{Destinations: []string{s.Dotenv("KEY"), "exec:broken"}})
	to, err := delivery.ForRotation(s.App, []string{s.Dotenv("KEY"), "exec:broken"}, nil, nil, "live", true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.g.Rotate(t.Context(), id, keys.RotateOptions{Overlap: time.Hour, To: to}); !errors.Is(err, keys.ErrNotDelivered) {
		t.Fatal(err)
	}
	leaked := strings.TrimSpace(strings.TrimPrefix(s.Env(), "KEY="))
	for range 3 { // each delivers a newer replacement to the file
		if _, err := s.run(leaked, Options{Yes: true}); !errors.Is(err, keys.ErrNotDelivered) {
			t.Errorf("%v\n%s", err, s.Err.String())
		}
		if open, err := s.g.Unfinished(t.Context(), strings.Split(leaked, "_")[2]); err != nil || len(open) != 1 || open[0].Old.ID != id {
			t.Errorf("%v %v", open, err)
		}
	}
	if s.state(strings.Split(leaked, "_")[2]) != apikey.Revoked || s.state(id) != apikey.Active {
		t.Error("not the leaked key alone is revoked")
	}
}
