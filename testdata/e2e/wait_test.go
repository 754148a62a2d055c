package e2e

import (
	"fmt"
	"testing"
	"time"
)

// patience is several times what any one step takes on a slow, busy machine.
const patience = 2 * time.Minute

// eventually tries until it succeeds; it fails the test with the last error when patience is at an end.
func eventually(t testing.TB, try func() error) {
	t.Helper()
	pause := time.NewTicker(10 * time.Millisecond)
	defer pause.Stop()
	for end := time.Now().Add(patience); ; <-pause.C {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("after %s: %v", patience, err)
		}
	}
}

// until asks until a status comes.
func until(t testing.TB, want int, ask func() (int, error)) {
	t.Helper()
	eventually(t, func() error {
		got, err := ask()
		if got == want {
			return nil
		}
		return fmt.Errorf("status %d, not %d (%v)", got, want, err)
	})
}
