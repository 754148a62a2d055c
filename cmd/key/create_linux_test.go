package key

import (
	"io"
	"testing"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/ptytest"
)

// Enter skips the question.
func TestCreate_AsksForANote(t *testing.T) {
	for typed, want := range map[string]string{"\n": "", "rack 1\n": "rack 1"} {
		person, program := ptytest.Open(t)
		a := app.New(program, io.Discard, program, map[string]string{})
		if _, err := io.WriteString(person, typed); err != nil {
			t.Fatal(err)
		}
		draft := apikey.Record{Owner: "shop", Environment: "live"}
		if err := askLiveKeyNote(t.Context(), a, &draft, createOptions{}); err != nil || draft.Note != want {
			t.Errorf("%q: the note is %q: %v", typed, draft.Note, err)
		}
	}
}
