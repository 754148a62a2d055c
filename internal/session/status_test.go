package session

import (
	"slices"
	"testing"

	"github.com/fobcli/fob/internal/authservertest"
)

// A list of a thousand logins parses neither the servers' metadata nor their keys.
func TestStatus_CostDoesNotDependOnTheServer(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.mustLogin()
	allocations := func() float64 {
		return testing.AllocsPerRun(5, func() {
			if status := f.Status(t.Context()); status.State != StateValid {
				t.Error(status.State, status.Err)
			}
		})
	}
	few := allocations()
	r := f.stored()
	r.Keys.Keys = slices.Repeat(r.Keys.Keys, 16)
	r.Metadata.ScopesSupported = slices.Repeat([]string{"scope"}, 200)
	if err := f.save(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if many := allocations(); many > few+5 {
		t.Errorf("%v allocations, %v with many keys", few, many)
	}
}
