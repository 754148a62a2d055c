package registrytest

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
)

func testAudit(t *testing.T, f *fixture) {
	_, id := f.key(t, draft)
	f.update(t, id, func(r *apikey.Record) { r.Note, r.Disabled = "x", true })
	if _, err := f.Revoke(t.Context(), []string{id}, "gone"); err != nil {
		t.Fatal(err)
	}
	var got []string
	end, err := f.Registry.Log(t.Context(), 1, func(l apikey.Logged) error {
		if l.Actor != "ada@example" || l.KeyID != id || !l.At.Equal(f.now()) {
			t.Errorf("%+v", l)
		}
		got = append(got, l.Action+": "+l.Detail)
		return nil
	})
	if err != nil || end.Head.Seq != 3 || len(got) != 2 || got[0] != "update: note, disabled" || got[1] != "revoke: gone" {
		t.Error(got, end, err)
	}
}

func testTampering(t *testing.T, f *fixture) {
	_, id := f.key(t, draft)
	_, other := f.key(t, draft)
	early := f.audited(t)
	if _, err := f.Revoke(t.Context(), []string{id}, ""); err != nil {
		t.Fatal(err)
	}
	head := f.audited(t)
	if _, err := f.audit(t, &early); err != nil {
		t.Error("a saved head that is still good:", err)
	}
	for _, test := range []struct {
		name   string
		since  *apikey.Head
		do     []string
		undone []string
	}{
		{"an edited entry", nil, []string{"UPDATE audit_log SET actor = 'eve' WHERE seq = 2"}, []string{"UPDATE audit_log SET actor = 'ada@example' WHERE seq = 2"}},
		{"a gap", nil, []string{"UPDATE audit_log SET seq = 9 WHERE seq = 2"}, []string{"UPDATE audit_log SET seq = 2 WHERE seq = 9"}},
		{"a reorder", nil,
			[]string{"UPDATE audit_log SET seq = 9 WHERE seq = 1", "UPDATE audit_log SET seq = 1 WHERE seq = 2", "UPDATE audit_log SET seq = 2 WHERE seq = 9"},
			[]string{"UPDATE audit_log SET seq = 9 WHERE seq = 1", "UPDATE audit_log SET seq = 1 WHERE seq = 2", "UPDATE audit_log SET seq = 2 WHERE seq = 9"}},
		{"a revived key", nil, []string{"UPDATE api_key SET revoked_at = 0 WHERE id = '" + id + "'"},
			[]string{"UPDATE api_key SET revoked_at = " + milliseconds(f.now()) + " WHERE id = '" + id + "'"}},
		{"a revived key, as an entry before has it", &head, []string{"UPDATE api_key SET revoked_at = 0, seq = 1 WHERE id = '" + id + "'"},
			[]string{"UPDATE api_key SET revoked_at = " + milliseconds(f.now()) + ", seq = 3 WHERE id = '" + id + "'"}},
		{"a key moved to another entry", nil, []string{"UPDATE api_key SET seq = 99 WHERE id = '" + other + "'"}, []string{"UPDATE api_key SET seq = 2 WHERE id = '" + other + "'"}},
		{"a moved head", nil, []string{"UPDATE log_head SET seq = 2"}, []string{"UPDATE log_head SET seq = 3"}},
		{"a cut tail", &head, []string{"DELETE FROM audit_log WHERE seq = 3", "UPDATE log_head SET seq = 2"}, nil},
	} {
		f.forge(t, test.do...)
		var tampered *apikey.TamperedError
		if _, err := f.audit(t, test.since); !errors.As(err, &tampered) {
			t.Errorf("%s was not found: %v", test.name, err)
		}
		f.forge(t, test.undone...)
	}
}

// The log also proves a bulk revocation with incomplete records: which keys, when, and what
// their records were. Completing them hides no edit, and takes the time from the log.
func testTamperedBulkRevocation(t *testing.T, f *fixture) {
	const revoked = "UPDATE revocation SET %s WHERE key_id = '[evil]'"
	for name, forged := range map[string]string{
		"another key":     strings.ReplaceAll(revoked, "%s", "key_id = '[victim]'"),
		"another time":    strings.ReplaceAll(revoked, "%s", "at = at + 1"),
		"another entry":   strings.ReplaceAll(revoked, "%s", "seq = 5"),
		"no bulk entry":   strings.ReplaceAll(revoked, "%s", "seq = 1"),
		"no entry":        strings.ReplaceAll(revoked, "%s", "seq = 0"),
		"no time":         "UPDATE audit_log SET at = 0 WHERE seq = 4",
		"a key more":      "INSERT INTO revocation VALUES ('[victim]', 5, 1)",
		"a key less":      "DELETE FROM revocation WHERE key_id = '[evil]'",
		"edited record":   "UPDATE api_key SET scopes = '*:*' WHERE id = '[evil]'",
		"unlogged record": "UPDATE api_key SET seq = 99 WHERE id = '[evil]'",
		"nothing":         "",
	} {
		f := newFixture(t, f.driver)
		_, victim := f.key(t, draft)
		evil, evilID := f.key(t, draft)
		_, third := f.key(t, draft)
		for _, id := range []string{evilID, evilID, third} { // the second adds nothing
			if _, err := f.Revoke(t.Context(), append(make([]string, keys.BatchSize), id), "gone"); err != nil {
				t.Fatal(err)
			}
			f.pass(time.Minute)
		}
		f.audited(t)
		f.forge(t, strings.NewReplacer("[evil]", evilID, "[victim]", victim).Replace(forged))
		for _, settled := range []bool{false, true} {
			var tampered *apikey.TamperedError
			if _, err := f.audit(t, nil); errors.As(err, &tampered) != (name != "nothing" && (!settled || name != "another time")) {
				t.Errorf("%s, settled %v: %v", name, settled, err)
			}
			var err error
			for n := 1; n > 0 && err == nil && !settled; {
				n, err = f.Settle(t.Context())
			}
			if err != nil && !errors.As(err, &tampered) {
				t.Error(name, err)
			}
			if name != "another key" && name != "a key less" {
				f.refused(t, evil, apikey.IsRevoked, apikey.Need{})
			}
		}
	}
	if _, err := f.driver.DB(t, f.dsn).Exec("INSERT INTO revocation VALUES ('x', 1, 0)"); err == nil {
		t.Error("a revocation at no time")
	}
}

// What no entry of the log covers must be readable too.
func testCheck(t *testing.T, f *fixture) {
	_, id := f.key(t, draft)
	f.rotate(t, id, keys.RotateOptions{Overlap: time.Hour}, nil)
	if err := f.Registry.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"UPDATE rotation SET deliveries = '{'", "UPDATE rotation SET deliveries = '[]', phase = 'none'", "UPDATE registry SET id = ''"} {
		f.forge(t, statement)
		if err := f.Registry.Check(t.Context()); !errors.Is(err, apikey.ErrDamaged) {
			t.Errorf("%s: %v", statement, err)
		}
		f.forge(t, "UPDATE rotation SET deliveries = '[]', phase = 'overlap'")
	}
}

func milliseconds(at time.Time) string {
	return strconv.FormatInt(apikey.Milliseconds(at), 10)
}

// The feed tells of each change, once, whoever made it.
func testChanged(t *testing.T, f *fixture) {
	other := f.open(t)
	seen := int64(0)
	changed := func(want ...string) {
		t.Helper()
		ids, last, err := f.Registry.Changed(t.Context(), seen, 100)
		if err != nil || !slices.Equal(ids, want) {
			t.Errorf("%v, %v; not %v", ids, err, want)
		}
		seen = last
	}
	changed()
	_, id := f.key(t, draft)
	changed(id)
	changed()
	if _, err := other.Revoke(t.Context(), []string{id}, ""); err != nil {
		t.Fatal(err)
	}
	changed(id)
	changed()
	for range 3 {
		f.key(t, draft)
	}
	if ids, last, err := f.Registry.Changed(t.Context(), seen, 2); err != nil || len(ids) != 2 || last != seen+2 {
		t.Error(ids, last, err)
	}
	if ids, last, err := f.Registry.Changed(t.Context(), seen+2, 2); err != nil || len(ids) != 1 || last != seen+3 {
		t.Error(ids, last, err)
	}
}
