package cmd

import (
	"errors"
	"fmt"
	"testing"

	"github.com/fobcli/fob/internal/oauth"
)

// TestAHintForCommas: some servers take commas between scopes, so that only a refusal
// tells.
func TestAHintForCommas(t *testing.T) {
	refused := fmt.Errorf("the login was refused: %w", &oauth.Error{Code: "invalid_scope"})
	for _, c := range []struct {
		err    error
		scopes []string
		hinted bool
	}{
		{refused, []string{"openid,email"}, true},
		{refused, []string{"openid", "email"}, false},
		{&oauth.Error{Code: "access_denied"}, []string{"openid,email"}, false},
	} {
		var hinted *hintError
		if errors.As(commaHint(c.err, c.scopes), &hinted) != c.hinted {
			t.Errorf("%v, %q", c.err, c.scopes)
		}
	}
}
