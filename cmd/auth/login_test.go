package auth

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/internal/authservertest"
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
		{&oauth.AuthorizationError{Code: "invalid_scope"}, []string{"openid,email"}, true},
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
		opts := loginOptions{Timeout: c.timeout}
		opts.Profile.given = func(flag string) bool { return c.given && flag == "timeout" }
		if got := opts.deviceTimeout(c.life); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// TestLogin_AsksGitHubForRefresh: an OAuth app of GitHub issues tokens that expire, with a
// refresh token, to a client that asks for offline_access. An app without that, or an older
// GitHub Enterprise Server, ignores the scope; a server may also refuse it.
func TestLogin_AsksGitHubForRefresh(t *testing.T) {
	const code = `{"device_code":"d","user_code":"ABCD-EFGH","verification_uri":"ISSUER/device-page","expires_in":900,"interval":1}`
	const refused = `{"error":"invalid_scope"}`
	const lasting = `{"access_token":"gho_1","token_type":"bearer","scope":"read:user"}`
	const expiring = `{"access_token":"gho_1","token_type":"bearer","scope":"read:user","expires_in":28800,"refresh_token":"ghr_1","refresh_token_expires_in":15897600}`
	const fixed = "fob uses this token until the server refuses it"
	const refreshed = "The server issued a refresh token: fob refreshes the access token when it expires."
	for name, c := range map[string]struct {
		args         []string
		code         []authservertest.Response
		token        string
		scopes       string // of the requests
		notes, never string
	}{
		"granted":          {nil, []authservertest.Response{{Body: code}}, expiring, "read:user offline_access", refreshed, "did not grant"},
		"ignored":          {nil, []authservertest.Response{{Body: code}}, lasting, "read:user offline_access", fixed, refreshed},
		"refused":          {nil, []authservertest.Response{{Status: 400, Body: refused}, {Body: code}}, lasting, "read:user offline_access, read:user", "The server refuses the scope offline_access: fob logs in without it.", "did not grant"},
		"refused with 200": {nil, []authservertest.Response{{Body: refused}, {Body: code}}, lasting, "read:user offline_access, read:user", fixed, "did not grant"},
		"not requested":    {[]string{"--scope", "repo"}, []authservertest.Response{{Body: code}}, lasting, "repo", fixed, refreshed},
		"typed, refused":   {[]string{"--scope", "repo offline_access"}, []authservertest.Response{{Status: 400, Body: refused}}, lasting, "repo offline_access", "", fixed},
	} {
		server := authservertest.StartScripted(t, map[string][]authservertest.Response{
			"/.well-known/oauth-authorization-server": {{Body: `{"issuer":"ISSUER","authorization_endpoint":"ISSUER/authorize","token_endpoint":"ISSUER/token","device_authorization_endpoint":"ISSUER/device"}`}},
			"/device": c.code, "/token": {{Body: c.token}},
		})
		a := cmdtest.New(t, "")
		var notes strings.Builder
		a.Notes = func(line string) { notes.WriteString(line + "\n") }
		_, _, err := a.Run(NewLogin, append([]string{"hub", "--provider", "github", "--issuer", server.URL, "--client-id", "fob-test", "--device"}, c.args...)...)
		if (err != nil) != (c.notes == "") || !strings.Contains(notes.String(), c.notes) || strings.Contains(notes.String(), c.never) {
			t.Errorf("%s: %v\n%s", name, err, notes.String())
		}
		var scopes []string
		for _, form := range server.Forms("/device") {
			scopes = append(scopes, form.Get("scope"))
		}
		if got := strings.Join(scopes, ", "); got != c.scopes {
			t.Errorf("%s: requested %q", name, got)
		}
	}
}

// TestLogin_WithoutARefusedScope: the browser is sent to the server again.
func TestLogin_WithoutARefusedScope(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	if err := f.issuer.InjectFault("invalid-scope", 1); err != nil {
		t.Fatal(err)
	}
	notes := f.login()
	if !strings.Contains(notes, "The server refuses the scope offline_access: fob logs in without it.") || !strings.Contains(notes, "The server issued no refresh token") {
		t.Error(notes)
	}
	if n := f.issuer.Count("authorize"); n != 2 {
		t.Errorf("%d authorization requests", n)
	}
	if err := f.issuer.InjectFault("invalid-scope", 1); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.run(NewLogin, "work", "--no-browser", "--scope", "openid offline_access"); !refusesScope(err) {
		t.Errorf("a scope that the user named: %v", err)
	}
}
