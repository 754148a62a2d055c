package registrytest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
)

// forge does to the rows what only somebody who can write the database does.
func (f *fixture) forge(t *testing.T, statements ...string) {
	t.Helper()
	db := f.driver.DB(t, f.dsn)
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
}

// Without its pepper a hash of a weak key from elsewhere could be guessed: a row must
// not bring fob to make it so.
func testPepperTakenAway(t *testing.T, f *fixture) {
	if err := f.SetPepper(t.Context(), "p"); err != nil {
		t.Fatal(err)
	}
	text, id := f.key(t, draft)
	f.audited(t)
	f.forge(t, "UPDATE registry SET pepper = ''")
	if err := f.Rehash(t.Context(), text, f.record(t, id)); err != nil {
		t.Error(err)
	}
	if r := f.record(t, id); r.Pepper != "p" || r.Digest.Equal(apikey.DigestOf(text)) {
		t.Error("the hash was made again without a pepper")
	}
	for _, forged := range []string{"", "q"} {
		f.forge(t, "UPDATE registry SET pepper = '"+forged+"'")
		var tampered *apikey.TamperedError
		if _, err := f.audit(t, nil); !errors.As(err, &tampered) {
			t.Errorf("pepper %q was not found: %v", forged, err)
		}
	}
}

// The audit log does not cover the rotations: they must bring fob to revoke nothing
// that the records do not bear out.
func testForgedRotations(t *testing.T, f *fixture) {
	const rotation = "INSERT INTO rotation (new_id, old_id, phase, compromised, started_at, leased_until, due_at, deliveries) VALUES ('%s', '%s', '%s', FALSE, 1, 1, 1, '[]')"
	victim, victimID := f.key(t, draft)
	_, id := f.key(t, draft)
	f.forge(t, fmt.Sprintf(rotation, id, victimID, apikey.PhaseOverlap))
	f.key(t, draft) // any change looks for overlaps that are over
	f.refused(t, victim, "", apikey.Need{})

	// A rotation that seems to lack nothing but the old key's end, and one that seems to be
	// of a compromised key: each ends as a rotation that somebody has asked for.
	f.forge(t, "DELETE FROM rotation", fmt.Sprintf(rotation, id, victimID, apikey.PhaseChecked), "UPDATE rotation SET compromised = TRUE")
	place := &fakeDestination{name: "place:there"}
	rotated, err := f.Rotate(t.Context(), victimID, keys.RotateOptions{Overlap: time.Hour, To: []keys.Destination{place}})
	if err != nil || len(place.got) != 1 || rotated.New.Predecessor != victimID || rotated.Rotation.Compromised {
		t.Errorf("%+v, %v", rotated.Rotation, err)
	}
	f.refused(t, victim, "", apikey.Need{})
	f.refused(t, place.got[0], "", apikey.Need{})

	victim, victimID = f.key(t, draft)
	f.forge(t, "DELETE FROM rotation", fmt.Sprintf(rotation, victimID, id, apikey.PhaseAbandoned))
	f.rotate(t, id, keys.RotateOptions{}, nil)
	f.refused(t, victim, "", apikey.Need{})
	f.audited(t)
}

// Forged records that replace each other, or themselves, must not keep a leaked key valid by
// making its rotation endless.
func testForgedCycle(t *testing.T, f *fixture) {
	const rotation = "INSERT INTO rotation (new_id, old_id, phase, compromised, started_at, leased_until, due_at, deliveries) VALUES ('%s', '%s', 'delivering', FALSE, 1, 1, 1, '[]')"
	for _, length := range []int{1, 2, 3} {
		var texts, ids []string
		for range length {
			text, id := f.key(t, draft)
			texts, ids = append(texts, text), append(ids, id)
		}
		for i, id := range ids {
			before := ids[(i+length-1)%length]
			f.forge(t, fmt.Sprintf("UPDATE api_key SET predecessor = '%s' WHERE id = '%s'", before, id), fmt.Sprintf(rotation, id, before))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := f.Rotate(ctx, ids[0], keys.RotateOptions{Compromised: true})
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%d keys: %v", length, err)
		}
		f.refused(t, texts[0], apikey.IsRevoked, apikey.Need{})
	}
}

// A list may have a key that ends before it was made: its successor must be good.
func testTimesOfALife(t *testing.T, f *fixture) {
	text := "sk_live_of_another_system_1"
	r, err := f.Importer().Complete(t.Context(), text, apikey.Record{
		Owner: "old", Environment: "live", CreatedAt: f.now().AddDate(5, 0, 0), ExpiresAt: f.now().AddDate(1, 0, 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Import(t.Context(), []apikey.Record{r}); err != nil {
		t.Fatal(err)
	}
	done, err := f.Rotate(t.Context(), r.ID, keys.RotateOptions{})
	if err != nil || done.New.State(f.now()) != apikey.Active {
		t.Errorf("the successor is %s, %v", done.New.State(f.now()), err)
	}
	_, err = f.Update(t.Context(), done.New.ID, func(r *apikey.Record) {
		r.ExpiresAt = time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -3600))
	})
	if err == nil {
		t.Error("a time that no JSON can have")
	}
}
