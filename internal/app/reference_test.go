package app

import (
	"slices"
	"testing"

	"github.com/fobcli/fob/internal/secret"
)

func TestLinesToMask(t *testing.T) {
	got := linesToMask(secret.New("-----BEGIN\nabcdef\r\nab\n\n-----END"))
	if want := []string{"-----BEGIN\nabcdef\r\nab\n\n-----END", "-----BEGIN", "abcdef", "-----END"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := linesToMask(secret.New("one")); !slices.Equal(got, []string{"one"}) {
		t.Errorf("%q", got)
	}
}
