package apikey

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// minted is a key and its record.
func minted(t *testing.T) (string, Record) {
	t.Helper()
	m, err := Mint("acme", "live")
	if err != nil {
		t.Fatal(err)
	}
	return m.Key.Reveal(), Record{ID: m.ID, Digest: m.Digest, Owner: "shop", Environment: "live", Scopes: []string{"orders:read"}, CreatedAt: noon}
}

func reasonOf(err error) Reason {
	var refused *RefusedError
	if errors.As(err, &refused) {
		return refused.Reason
	}
	return ""
}

func TestCheck(t *testing.T) {
	text, record := minted(t)
	other, _ := minted(t)
	for _, test := range []struct {
		name   string
		text   string
		change func(*Record)
		need   Need
		want   Reason
	}{
		{name: "good", text: text, want: ""},
		{name: "another key", text: other, want: Unknown},
		{name: "revoked", text: text, change: func(r *Record) { r.RevokedAt = noon }, want: IsRevoked},
		{name: "revoked in the future", text: text, change: func(r *Record) { r.RevokedAt = noon.Add(time.Hour) }, want: IsRevoked},
		{name: "revoked and another key", text: other, change: func(r *Record) { r.RevokedAt = noon }, want: Unknown},
		{name: "overlap", text: text, change: func(r *Record) { r.RetiresAt = noon.Add(time.Second) }, want: ""},
		{name: "overlap over", text: text, change: func(r *Record) { r.RetiresAt = noon }, want: IsRevoked},
		{name: "expired", text: text, change: func(r *Record) { r.ExpiresAt = noon }, want: IsExpired},
		{name: "disabled", text: text, change: func(r *Record) { r.Disabled = true }, want: IsDisabled},
		{name: "environment", text: text, need: Need{Environment: "live"}, want: ""},
		{name: "scope", text: text, need: Need{Scopes: []string{"orders:read"}}, want: ""},
		{name: "missing scope", text: text, need: Need{Scopes: []string{"orders:read", "orders:write"}}, want: OutOfScope},
	} {
		r := record
		if test.change != nil {
			test.change(&r)
		}
		p, err := Present(test.text, test.need)
		if err != nil {
			t.Fatal(err)
		}
		if got := reasonOf(p.Check(&r, nil, test.need, noon)); got != test.want {
			t.Errorf("%s: %q, not %q", test.name, got, test.want)
		}
	}
	p, _ := Present(text, Need{})
	if got := reasonOf(p.Check(&Record{}, nil, Need{}, noon)); got != Unknown {
		t.Error(got)
	}
	if _, err := Present(text, Need{Environment: "test"}); reasonOf(err) != OtherEnvironment {
		t.Error(err)
	}
}

func TestStates(t *testing.T) {
	hour := noon.Add(time.Hour)
	for _, test := range []struct {
		record Record
		want   State
	}{
		{Record{}, Active},
		{Record{ExpiresAt: hour}, Active},
		{Record{ExpiresAt: noon}, Expired},
		{Record{Disabled: true}, Disabled},
		{Record{Disabled: true, ExpiresAt: noon}, Expired},
		{Record{RetiresAt: hour}, Retiring},
		{Record{RetiresAt: hour, Disabled: true}, Disabled},
		{Record{RetiresAt: noon}, Revoked},
		{Record{RevokedAt: hour}, Revoked},
		{Record{RevokedAt: noon, ExpiresAt: noon, Disabled: true, RetiresAt: hour}, Revoked},
	} {
		if got := test.record.State(noon); got != test.want {
			t.Errorf("%+v: %s, not %s", test.record, got, test.want)
		}
	}
}

func TestG57OneAnswerForUnknownAndWrong(t *testing.T) {
	text, record := minted(t)
	stranger, _ := minted(t)
	guess := text[:len("acme_live_")+IDLength] + stranger[len("acme_live_")+IDLength:len(stranger)-checksumLength]
	digits := checksum(guess)
	guess += string(digits[:])
	p, err := Present(guess, Need{})
	if err != nil {
		t.Fatal(err)
	}
	wrong := p.Check(&record, nil, Need{}, noon)
	unknown := p.Check(&Record{}, nil, Need{}, noon)
	if wrong == nil || !errors.Is(wrong, unknown) {
		t.Errorf("%v and %v", wrong, unknown)
	}
	record.RevokedAt = noon
	if revoked := p.Check(&record, nil, Need{}, noon); !errors.Is(revoked, unknown) {
		t.Errorf("who has not the secret learns that the key was revoked: %v", revoked)
	}
}

func TestScopes(t *testing.T) {
	for _, test := range []struct {
		granted, needed string
		want            bool
	}{
		{"orders:read", "orders:read", true},
		{"orders:*", "orders:read", true},
		{"*:read", "orders:read", true},
		{"*:*", "orders:read", true},
		{"orders:read", "orders:write", false},
		{"orders:read", "orders:*", false},
		{"orders:*", "orders:*", true},
		{"orders:*", "invoices:read", false},
		{"order:*", "orders:read", false},
	} {
		if _, short := missingScope([]string{"x:y", test.granted}, []string{test.needed}); short == test.want {
			t.Errorf("%s for %s: %v", test.granted, test.needed, !short)
		}
	}
}

func TestCheckScope(t *testing.T) {
	for _, scope := range []string{"orders:read", "*:*", "v1.orders_x-y:read", "0:0"} {
		if err := CheckScope(scope); err != nil {
			t.Error(err)
		}
	}
	for scope, hint := range map[string]string{
		"":                              "resource:action",
		"*":                             "*:*",
		"orders":                        "resource:action",
		"orders.read":                   "orders:read",
		"orders/read":                   "orders:read",
		"Orders:Read":                   "orders:read",
		"orders:read,orders:write":      "--scope orders:read --scope orders:write",
		"orders:read orders:write":      "--scope orders:read --scope orders:write",
		"orders:read:all":               "resource:action",
		"orders:":                       "resource:action",
		"ord*:read":                     "resource:action",
		strings.Repeat("a", 200) + ":b": "resource:action",
		"'; DROP--":                     "resource:action",
		"\u202e:x":                      "resource:action",
	} {
		if err := CheckScope(scope); err == nil || !strings.Contains(err.Error(), hint) || len(err.Error()) > 400 {
			t.Errorf("%.40q: %v", scope, err)
		}
	}
}

func TestRecordCheck(t *testing.T) {
	_, good := minted(t)
	if err := good.Check(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Record){
		"no owner":       func(r *Record) { r.Owner = "" },
		"a key in it":    func(r *Record) { r.Note = "it was " + example },
		"environment":    func(r *Record) { r.Environment = "LIVE" },
		"id":             func(r *Record) { r.ID = "'; DROP--" },
		"rate":           func(r *Record) { r.Rate = "100" },
		"scopes":         func(r *Record) { r.Scopes = make([]string, maxScopes+1) },
		"metadata name":  func(r *Record) { r.Metadata = map[string]string{"": "x"} },
		"much metadata":  func(r *Record) { r.Metadata = map[string]string{"a": strings.Repeat("x", maxMetadata)} },
		"G56 NUL":        func(r *Record) { r.Owner = "a\x00b" },
		"G56 right-left": func(r *Record) { r.Note = "a\u202eb" },
		"G56 1 MiB":      func(r *Record) { r.Owner = strings.Repeat("x", 1<<20) },
		"G56 new line":   func(r *Record) { r.Metadata = map[string]string{"a": "b\nc"} },
	} {
		r := good
		spoil(&r)
		if err := r.Check(); err == nil || len(err.Error()) > 400 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseRates(t *testing.T) {
	if r, err := ParseRates("100/s"); err != nil || !slices.Equal(r, []Rate{{100, time.Second}}) {
		t.Error(r, err)
	}
	if r, err := ParseRates("5/s 1000/h"); err != nil || !slices.Equal(r, []Rate{{5, time.Second}, {1000, time.Hour}}) {
		t.Error(r, err)
	}
	for _, text := range []string{"", " ", "100", "0/s", "-1/s", "1/year", "x/s", "1/s/s", "9999999999999/s", "5/s,1000/h", "5/s 10/s", "5/m 10/min", "5/s x"} {
		if _, err := ParseRates(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

func TestAuditChain(t *testing.T) {
	_, r := minted(t)
	var head Head
	first := head.Next(Event{At: noon, Actor: "ada", Action: ActionCreate}, r.ID, r.Sum())
	second := head.Next(Event{At: noon, Actor: "ada", Action: ActionPepper}, "", Digest{})
	if head.Seq != 2 || head.Hash != second.Hash || first.Hash == second.Hash {
		t.Errorf("%+v", head)
	}
	parsed, err := ParseHead(head.String())
	if err != nil || parsed != head {
		t.Error(parsed, err)
	}
	for _, text := range []string{"", "1", "1:", "x:" + head.Hash.String(), "-1:" + head.Hash.String(), "1:" + head.Hash.String()[1:]} {
		if _, err := ParseHead(text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
	// No two entries may have the same hash because a text went from one field into the next.
	a := Entry{Seq: 1, Event: Event{At: noon, Actor: "ab", Action: "c"}}
	b := Entry{Seq: 1, Event: Event{At: noon, Actor: "a", Action: "bc"}}
	if a.hash(Digest{}) == b.hash(Digest{}) {
		t.Error("fields run into each other")
	}
}

// Every field of a record that a change may change is in its sum.
func TestSumCoversTheRecord(t *testing.T) {
	_, r := minted(t)
	before := r.Sum()
	for name, change := range map[string]func(*Record){
		"ID": func(r *Record) { r.ID += "x" }, "Digest": func(r *Record) { r.Digest[31]++ }, "Pepper": func(r *Record) { r.Pepper = "p" },
		"Owner": func(r *Record) { r.Owner += "x" }, "Environment": func(r *Record) { r.Environment += "x" },
		"Scopes": func(r *Record) { r.Scopes = []string{"orders:read", "a:b"} }, "Rate": func(r *Record) { r.Rate = "1/s" },
		"Note": func(r *Record) { r.Note = "x" }, "Metadata": func(r *Record) { r.Metadata = map[string]string{"a": "b"} },
		"CreatedAt": func(r *Record) { r.CreatedAt = noon.Add(time.Millisecond) }, "ExpiresAt": func(r *Record) { r.ExpiresAt = noon },
		"Disabled": func(r *Record) { r.Disabled = true }, "RetiresAt": func(r *Record) { r.RetiresAt = noon },
		"RevokedAt": func(r *Record) { r.RevokedAt = noon }, "Predecessor": func(r *Record) { r.Predecessor = "x" },
	} {
		changed := r
		change(&changed)
		if changed.Sum() == before {
			t.Errorf("%s is not in the sum", name)
		}
	}
}
