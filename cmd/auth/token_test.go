package auth

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/session"
)

// FOB_TOKEN_<PROFILE> answers for a profile that is named, FOB_TOKEN only where none is, and
// neither needs a configuration.
func TestToken_FromTheEnvironment(t *testing.T) {
	environ := []string{"FOB_TOKEN=unnamed", "FOB_TOKEN_WORK=of-work"}
	for name, test := range map[string]struct {
		args      []string
		environ   []string
		want      string
		err, hint string
	}{
		"named":           {[]string{"work"}, environ, "of-work\n", "", ""},
		"unnamed":         {nil, environ, "unnamed\n", "", ""},
		"by the variable": {nil, append(environ, "FOB_PROFILE=work"), "of-work\n", "", ""},
		"another":         {[]string{"home"}, environ, "", `no profile "home"`, ""},
		"a header":        {[]string{"work", "--header"}, environ, "Authorization: Bearer of-work\n", "", ""},
		"for curl":        {[]string{"work", "--curl-config"}, environ, "header = \"Authorization: Bearer of-work\"\n", "", ""},
		"for netrc":       {[]string{"work", "--netrc", "api.example.com"}, environ, "machine api.example.com login oauth2 password of-work\n", "", ""},
		"for a shell":     {[]string{"work", "--env", "TOKEN", "--shell", "sh"}, environ, "export TOKEN='of-work'\n", "", ""},
		"refreshed":       {[]string{"work", "--force-refresh"}, environ, "", "cannot be refreshed", "set FOB_TOKEN_WORK"},
		"for less":        {[]string{"work", "--scope", "read"}, environ, "", "FOB_TOKEN_WORK is one access token", "unset FOB_TOKEN_WORK"},
		"an id_token":     {[]string{"work", "--id-token"}, environ, "", "FOB_TOKEN_WORK is one access token", ""},
		"with a proof":    {[]string{"work", "--dpop", "GET", "https://api.example.com"}, environ, "", "not bound to a key", "leave out --dpop"},
		"JSON in it":      {[]string{"work"}, []string{`FOB_TOKEN_WORK={"access_token":"x"}`}, "", "FOB_TOKEN_WORK is not an access token", ""},
	} {
		a := cmdtest.New(t, "", test.environ...)
		stdout, _, err := a.Run(NewToken, test.args...)
		checkUsage(t, name, err, test.err, test.hint)
		if stdout != test.want {
			t.Errorf("%s: %q", name, stdout)
		}
	}
}

func TestToken_Options(t *testing.T) {
	for call, want := range map[string]struct{ err, hint string }{
		"a b":                            {"takes one profile at most", "fob token --help"},
		"--min-ttl -5m":                  {"a token cannot be ", "--min-ttl"},
		"--scope=":                       {"--scope is empty", ""},
		"--resource=":                    {"--resource is empty", ""},
		"--resource api":                 {"--resource: ", "absolute URI"},
		"--netrc=":                       {"--netrc is empty", ""},
		"--netrc https://example.com":    {"https://example.com", "--netrc api.example.com"},
		"--env 1X":                       {`"1X"`, "letters, digits and _"},
		"--env X --shell csh":            {`"csh"`, "fish"},
		"--header --json":                {"--header and --json cannot be combined", ""},
		"--id-token --header":            {"--id-token and --header cannot be combined", ""},
		"--inspect --env X":              {"--env and --inspect cannot be combined", ""},
		"--dpop GET":                     {"--dpop requires a method and a URL", "run 'fob token PROFILE --dpop GET https://"},
		"--dpop GET work":                {"--dpop requires a method and a URL", ""},
		"--dpop GET http://example.com":  {"the URL of the request", "https URL"},
		"--dpop get https://example.com": {`"get"`, "GET, POST"},
		"--dpop-nonce x":                 {"--dpop-nonce requires --dpop", ""},
	} {
		_, _, err := cmdtest.New(t, "", "FOB_TOKEN=x").Run(NewToken, strings.Fields(call)...)
		checkUsage(t, call, err, want.err, want.hint)
	}
}

func TestToken_MinTTL(t *testing.T) {
	minute, hour := time.Minute, time.Hour
	none, all := func(string) bool { return false }, func(string) bool { return true }
	for name, test := range map[string]struct {
		opts tokenOptions
		env  string
		want *time.Duration
		err  string
	}{
		"neither":               {tokenOptions{MinTTL: minute, Given: none}, "", nil, ""},
		"the flag":              {tokenOptions{MinTTL: minute, Given: all}, "1h", &minute, ""},
		"the variable":          {tokenOptions{MinTTL: minute, Given: none}, "1h", &hour, ""},
		"a variable without it": {tokenOptions{Given: none}, "60", nil, "FOB_MIN_TTL is not a duration"},
		"a negative variable":   {tokenOptions{Given: none}, "-1m", nil, "a token cannot be "},
	} {
		got, err := tokenRequest(cmdtest.New(t, "", "FOB_MIN_TTL="+test.env).App, test.opts)
		checkUsage(t, name, err, test.err, "")
		if err == nil && (got.MinTTL == nil) != (test.want == nil) || err == nil && test.want != nil && *got.MinTTL != *test.want {
			t.Errorf("%s: %v", name, got.MinTTL)
		}
	}
}

func TestToken_JSON(t *testing.T) {
	token := &session.Token{Value: secret.New("access"), IDToken: secret.New("id"), Type: "Bearer", Scope: "a b", ExpiresAt: time.Unix(1_800_000_000, 999)}
	for _, test := range []struct {
		token   *session.Token
		idToken bool
		want    string
	}{
		{token, false, `{"access_token":"access","token_type":"Bearer","scope":"a b","expires_at":"2027-01-15T08:00:00Z","expires_on":1800000000}`},
		{token, true, `{"id_token":"id"}`},
		{&session.Token{Value: secret.New("access"), Type: "DPoP"}, false, `{"access_token":"access","token_type":"DPoP"}`},
	} {
		if got, err := json.Marshal(newTokenJSON(test.token, test.idToken)); err != nil || string(got) != test.want {
			t.Errorf("%s, %v", got, err)
		}
	}
}

func TestToken_Mask(t *testing.T) {
	if _, stderr, err := cmdtest.New(t, "", "FOB_TOKEN=of-nobody", "GITHUB_ACTIONS=true").Run(NewToken, "--mask"); err != nil || stderr != "::add-mask::of-nobody\n" {
		t.Errorf("%q, %v", stderr, err)
	}
	if stdout, stderr, err := cmdtest.New(t, "", "FOB_TOKEN=of-nobody").Run(NewToken, "--mask"); err != nil || stdout != "of-nobody\n" || !strings.HasPrefix(stderr, "warning: ") || strings.Contains(stderr, "of-nobody") {
		t.Errorf("%q, %q, %v", stdout, stderr, err)
	}
}

func TestToken_BoundToAKey(t *testing.T) {
	f := newFixture(t, authservertest.Options{})
	f.login()
	_, _, err := f.run(NewToken, "work", "--dpop", "GET", "https://api.example.com/me")
	checkUsage(t, "a bearer token", err, "is not bound to a key", "'fob login work --dpop'")
	f.login("--dpop")
	stdout, _ := f.must(NewToken, "work", "--dpop", "GET", "https://api.example.com/me")
	if !strings.HasPrefix(stdout, "Authorization: DPoP ") || !strings.Contains(stdout, "\nDPoP: ey") {
		t.Errorf("%q", stdout)
	}
	if s := f.status("work"); !s.DPoP {
		t.Errorf("%+v", s)
	}
}

func TestToken_LoginRequiredNamesTheProfile(t *testing.T) {
	_, _, err := cmdtest.New(t, threeProfiles).Run(NewToken)
	if !errors.Is(err, session.ErrLoginRequired) {
		t.Fatal(err)
	}
	if name := profileOf(err); name != "work" {
		t.Errorf("%q: %v", name, err)
	}
}
