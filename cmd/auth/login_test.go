package auth

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/cli"
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
		var hinted *cli.HintError
		if errors.As(commaHint(c.err, c.scopes), &hinted) != c.hinted {
			t.Errorf("%v, %q", c.err, c.scopes)
		}
	}
}

// TestI73_TheDefaultTimeoutOutlivesTheCode: with an interval as long as the default, the
// login would end before its first poll.
func TestI73_TheDefaultTimeoutOutlivesTheCode(t *testing.T) {
	for _, c := range []struct {
		given         bool
		timeout, life time.Duration
		want          time.Duration
	}{
		{false, 5 * time.Minute, 15 * time.Minute, 15*time.Minute + time.Second},
		{false, 5 * time.Minute, time.Minute, 5 * time.Minute},
		{true, time.Second, 15 * time.Minute, time.Second},
	} {
		opts := loginOptions{timeout: c.timeout}
		opts.profile.given = func(flag string) bool { return c.given && flag == "timeout" }
		if got := opts.deviceTimeout(c.life); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
