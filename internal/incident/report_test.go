package incident

import (
	"context"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/leakreport"
)

func TestOutcome(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	retired := keys.Rotated{New: apikey.Record{ID: "next"}, Rotation: apikey.Rotation{Phase: apikey.PhaseRetired}}
	seen := map[string]string{}
	for name, k := range map[string]leakedKey{
		"replaced and refused": {replaced: retired, refused: true},
		"replaced":             {replaced: retired},
		"failed":               {failed: errors.New("x")},
		"still accepted":       {failed: errors.New("x"), accepted: true},
		"skipped":              {declined: true},
		"revoked before":       {record: apikey.Record{RevokedAt: now}},
		"expired before":       {record: apikey.Record{ExpiresAt: now}},
	} {
		text := k.outcome(now)
		if other := seen[text]; other != "" {
			t.Errorf("%s and %s are both %q", name, other, text)
		}
		seen[text] = name
	}
	k := leakedKey{revoked: true}
	if text := k.outcome(now); seen[text] != "replaced" {
		t.Errorf("revoked without a new key: %q", text)
	}
}

func TestLeftToDo(t *testing.T) {
	s := newSite(t)
	next := keys.Rotated{New: apikey.Record{ID: "next"}}
	failed := keys.Rotated{Old: apikey.Record{ID: "old"}, New: apikey.Record{ID: "next"}, Failed: []*keys.DeliveryError{{Destination: "b", Err: errors.New("x")}}}
	dests := []keys.Destination{fake{name: "a"}}
	for _, test := range []struct {
		name  string
		key   leakedKey
		lines int // beside the two for every incident
		text  string
	}{
		{"delivered", leakedKey{record: apikey.Record{ID: "old", Destinations: []string{"a"}}, dests: dests, replaced: next}, 0, ""},
		{"not delivered", leakedKey{record: apikey.Record{ID: "old", Destinations: []string{"b"}}, dests: dests, replaced: failed, failed: failed.Failed[0]}, 2, "not delivered to b"},
		{"still accepted", leakedKey{record: apikey.Record{ID: "old"}, dests: dests, failed: keys.ErrRotating, accepted: true}, 2, "`key old is still accepted`: `revoke it: 'fob key revoke old'`"},
		{"without destination", leakedKey{record: apikey.Record{ID: "old", Note: "rack | 1"}, replaced: next}, 1, "`rack \\| 1`"},
		{"skipped", leakedKey{record: apikey.Record{ID: "old"}, declined: true}, 1, "`fob key rotate old --compromised`"},
		{"used", leakedKey{record: apikey.Record{ID: "old", Uses: 3, Destinations: []string{"a"}}, dests: dests, replaced: next}, 1, "old"},
		{"revoked before", leakedKey{record: apikey.Record{ID: "old", RevokedAt: s.Time}}, 0, ""},
	} {
		lines := (&incident{a: s.App, keys: []*leakedKey{&test.key}}).leftToDo()
		if len(lines) != test.lines+2 || !strings.Contains(lines[0], test.text) {
			t.Errorf("%s: %q", test.name, lines)
		}
	}
}

// What others wrote is text in the report: no row, no link, no mention.
func TestMarkdown_IsInert(t *testing.T) {
	s := newSite(t)
	hostile := "a`b|c\n# d @e [f](g)\x1b[31m"
	k := &leakedKey{
		record:   apikey.Record{ID: "old", Owner: hostile, Scopes: []string{hostile}, Destinations: []string{hostile}},
		found:    []string{locationText(leakreport.Finding{Path: hostile, Line: 7, Commit: "c0ffeec0ffeec0ffee"})},
		failed:   errors.New(hostile),
		replaced: keys.Rotated{New: apikey.Record{ID: "next"}, Rotation: apikey.Rotation{Deliveries: []apikey.Delivery{{Destination: hostile, Status: apikey.DeliveryFailed, Error: hostile}}}},
	}
	run := &incident{a: s.App, g: &keys.Registrar{Actor: hostile}, started: s.Time, keys: []*leakedKey{k}, unknown: 2}
	text := string(run.markdown([]apikey.Entry{{Event: apikey.Event{At: s.Time, Actor: hostile, Action: "rotate", Detail: hostile}, KeyID: "old"}}, "verified"))
	for line := range strings.Lines(text) {
		if strings.Contains(line, "# d") && strings.HasPrefix(line, "#") || strings.ContainsAny(line, "\x1b") {
			t.Errorf("%q", line)
		}
		if cells := strings.Count(strings.ReplaceAll(line, `\|`, ""), "|"); cells > 0 && cells != 9 && cells != 7 {
			t.Errorf("%d bars in %q", cells, line)
		}
		if strings.Count(line, "`")%2 != 0 {
			t.Errorf("an open code span: %q", line)
		}
	}
	for _, want := range []string{":7 in c0ffeec0ffee`", "2 keys", "2026-11-30 12:00", "| `next` |", "verified"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestTimeLine_ReportsTampering(t *testing.T) {
	s := newSite(t)
	_, id := s.issue(apikey.Record{})
	s.issue(apikey.Record{})
	r, err := s.g.Find(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	run := &incident{a: s.App, g: s.g, keys: []*leakedKey{{record: r}}}
	entries, verdict, err := run.timeLine(t.Context())
	if err != nil || len(entries) != 1 || entries[0].KeyID != id || strings.Contains(verdict, "**") {
		t.Errorf("%+v %s %v", entries, verdict, err)
	}
	s.g.Registry = tampered{s.g.Registry}
	if entries, verdict, err = run.timeLine(t.Context()); err != nil || !strings.Contains(verdict, "**") || len(entries) != 1 {
		t.Errorf("%+v %s %v", entries, verdict, err)
	}
}

type tampered struct{ apikey.Registry }

func (r tampered) Log(ctx context.Context, after int64, each func(apikey.Logged) error, ids ...string) (apikey.LogEnd, error) {
	return r.Registry.Log(ctx, after, func(l apikey.Logged) error {
		l.Actor = "somebody else"
		return each(l)
	}, ids...)
}

var update = flag.Bool("update", false, "write the golden file anew")

// The whole report, so that a change of its words is seen in review.
func TestMarkdown_Golden(t *testing.T) {
	s := newSite(t)
	now := s.Time
	replaced := &leakedKey{
		record: apikey.Record{ID: "1OOivdDZfQCU", Owner: "shop", Environment: "live", Scopes: []string{"orders:read"}, Uses: 12, LastUsedAt: now.Add(-time.Hour), Destinations: []string{"github:acme/web#API_KEY", "exec:pager"}},
		dests:  []keys.Destination{fake{name: "exec:pager"}},
		text:   "x", refused: true, found: []string{"config.py:2 in c0ffeec0ffee", "old.env:1"},
		replaced: keys.Rotated{
			Old:    apikey.Record{ID: "1OOivdDZfQCU", RevokedAt: now},
			New:    apikey.Record{ID: "1zzOivdDZfQC"},
			Failed: []*keys.DeliveryError{{Destination: "exec:pager", Err: errors.New("pager ended with status 3")}},
			Rotation: apikey.Rotation{Phase: apikey.PhaseDelivering, Deliveries: []apikey.Delivery{
				{Destination: "github:acme/web#API_KEY", Status: apikey.DeliveryDone}, {Destination: "exec:pager", Status: apikey.DeliveryFailed, Error: "pager ended with status 3"},
			}},
		},
	}
	replaced.failed = replaced.replaced.Failed[0]
	skipped := &leakedKey{declined: true, record: apikey.Record{ID: "1AAivdDZfQCU", Owner: "shop", Environment: "test"}}
	run := &incident{a: s.App, g: &keys.Registrar{Actor: "ada@laptop"}, started: now.Add(-time.Minute), keys: []*leakedKey{replaced, skipped}, unknown: 1}
	entries := []apikey.Entry{
		{Seq: 7, Event: apikey.Event{At: now, Actor: "ada@laptop", Action: "rotate", Detail: "it replaces 1OOivdDZfQCU"}, KeyID: "1zzOivdDZfQC"},
	}
	const path = "../../testdata/golden/incident.md"
	got := run.markdown(entries, "The whole log was verified. Its head is `7:ab`.")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || string(want) != string(got) {
		t.Errorf("%s differs (%v); review the change, then run 'go test ./internal/incident -update'. It is now:\n%s", path, err, got)
	}
}
