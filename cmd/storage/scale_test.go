package storage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/internal/filelock"
)

// Records are checked several at a time: a login that another process refreshes does not
// delay the others. The report is in the order of the names.
func TestCheck_SeveralAtATime(t *testing.T) {
	var text, want strings.Builder
	for i := range 5 {
		fmt.Fprintf(&text, "[profile.p%d]\nclient_id = 'fob'\nissuer = 'https://sso.example.com'\n", i)
		fmt.Fprintf(&want, "p%d: not logged in.\n", i)
	}
	a := cmdtest.New(t, text.String())
	parses := 0
	getenv := a.Getenv
	a.Getenv = func(name string) string {
		if name == "FOB_STORAGE" { // which config.Load reads, once
			parses++
		}
		return getenv(name)
	}
	locks := filepath.Join(a.Home, "data", "locks")
	held, err := filelock.Acquire(t.Context(), filepath.Join(locks, "p0.lock"), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	go func() { // until the last profile is checked
		defer held.Release()
		for t.Context().Err() == nil {
			if _, err := os.Stat(filepath.Join(locks, "p4.lock")); err == nil {
				return
			}
		}
	}()
	_, notes, err := a.Run(New, "check")
	if err != nil || notes != want.String() || parses != 1 {
		t.Errorf("%q, parsed %d times, %v", notes, parses, err)
	}
}

// The errors of many records are joined once.
func TestEach_JoinsOnce(t *testing.T) {
	failed := each(context.Background(), make([]int, 1000), func(int) error { return os.ErrInvalid })
	several, ok := failed.(interface{ Unwrap() []error }) //nolint:errorlint // this error, not one that it wraps
	if !ok || len(several.Unwrap()) != 1000 {
		t.Errorf("%T", failed)
	}
}
