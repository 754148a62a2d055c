package trace

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTraceGoesToItsContext(t *testing.T) {
	var lines []string
	ctx := With(t.Context(), func(line string) { lines = append(lines, line) })
	Printf(ctx, "lock %s", "work")
	Printf(context.Background(), "nobody reads this")
	if !On(ctx) || On(t.Context()) || !slices.Equal(lines, []string{"lock work"}) {
		t.Errorf("%q", lines)
	}
}

func TestOutcome(t *testing.T) {
	if got := Outcome(nil, time.Now()); !strings.HasPrefix(got, "ok (") {
		t.Error(got)
	}
	if got := Outcome(errors.New("locked"), time.Now()); !strings.HasPrefix(got, "locked (") {
		t.Error(got)
	}
}
