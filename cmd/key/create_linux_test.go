package key

import (
	"io"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/ptytest"
)

// TestCreate_AsksForANote: an empty answer, or a key in it, is asked about again.
func TestCreate_AsksForANote(t *testing.T) {
	person, program := ptytest.Open(t)
	a := app.New(program, io.Discard, program, map[string]string{})
	go func() { _, _ = io.Copy(io.Discard, person) }()
	if _, err := io.WriteString(person, "\n"); err != nil {
		t.Fatal(err)
	}
	draft := apikey.Record{Owner: "shop", Environment: "live"}
	asked := make(chan error, 1)
	go func() { asked <- askLiveKeyNote(t.Context(), a, &draft, createOptions{}) }()
	answer := time.NewTicker(10 * time.Millisecond)
	defer answer.Stop()
	for {
		select {
		case err := <-asked:
			if err != nil || draft.Note != "rack 1" {
				t.Errorf("the note is %q: %v", draft.Note, err)
			}
			return
		case <-answer.C:
			_, _ = io.WriteString(person, "rack 1\n")
		}
	}
}
