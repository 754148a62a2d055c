package session

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/secret"
)

// atOddServer is a login whose server answers /token as scripted.
func atOddServer(t *testing.T, responses ...authservertest.Response) (*fixture, *authservertest.Scripted) {
	t.Helper()
	server := authservertest.StartScripted(t, map[string][]authservertest.Response{"/token": responses})
	f := newFixture(t, authservertest.Options{})
	f.Profile.Issuer = server.URL
	r := &record{
		head: head{Version: recordVersion, CacheKey: sealedSecret{newCacheKey()}, Refreshes: true},
		body: body{
			Metadata: &discovery.Metadata{Issuer: server.URL, TokenEndpoint: server.URL + "/token"},
			ClientID: f.Profile.ClientID, AuthMethod: oauth.AuthNone, RefreshToken: sealedSecret{secret.New("first")},
		},
	}
	if err := f.save(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return f, server
}

func (f *fixture) stored() *record {
	f.t.Helper()
	r, err := f.loadAny(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

func refreshTokens(forms []url.Values) string {
	var tokens []string
	for _, form := range forms {
		tokens = append(tokens, form.Get("refresh_token"))
	}
	return strings.Join(tokens, " ")
}

const rotated = `{"access_token":"access","token_type":"Bearer","expires_in":3600,"refresh_token":"second"}`

func TestRefresh_ReadsOddResponses(t *testing.T) {
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	for name, response := range map[string]authservertest.Response{
		"201 Created":            {Status: 201, Body: rotated},
		"202 Accepted":           {Status: 202, Body: rotated},
		"a byte order mark":      {Body: "\ufeff" + rotated},
		"a form":                 {Header: form, Body: "access_token=access&token_type=bearer&expires_in=3600&refresh_token=second"},
		"BearerToken":            {Body: strings.ReplaceAll(rotated, `"Bearer"`, `"BearerToken"`)},
		"an empty token_type":    {Body: strings.ReplaceAll(rotated, `"Bearer"`, `""`)},
		"an error that is null":  {Body: strings.ReplaceAll(rotated, "{", `{"error":null,`)},
		"an error that is empty": {Body: strings.ReplaceAll(rotated, "{", `{"error":"",`)},
	} {
		f, server := atOddServer(t, response)
		if token, err := f.Token(t.Context(), TokenOptions{}); err != nil || token.Value.Reveal() != "access" {
			t.Errorf("%s: %v", name, err)
		}
		f.token(force)
		if used := refreshTokens(server.Forms("/token")); used != "first second" {
			t.Errorf("%s: used %s", name, used)
		}
	}
}

func TestRefresh_RecognisesAnEndedLogin(t *testing.T) {
	for name, response := range map[string]authservertest.Response{
		"RFC 6749":                {Status: 400, Body: `{"error":"invalid_grant"}`},
		"GitHub":                  {Body: `{"error":"bad_refresh_token","error_description":"The refresh token passed is incorrect or expired."}`},
		"GitHub, a form":          {Body: `error=bad_refresh_token`},
		"Atlassian":               {Status: 403, Body: `{"error":"unauthorized_client","error_description":"refresh_token is invalid"}`},
		"Slack":                   {Body: `{"ok":false,"error":"invalid_refresh_token"}`},
		"Slack, revoked":          {Body: `{"ok":false,"error":"token_revoked"}`},
		"Microsoft, interaction":  {Status: 400, Body: `{"error":"interaction_required","error_codes":[50076]}`},
		"Microsoft, login":        {Status: 400, Body: `{"error":"login_required"}`},
		"Microsoft, consent":      {Status: 400, Body: `{"error":"consent_required"}`},
		"after a byte order mark": {Status: 400, Body: "\ufeff" + `{"error":"invalid_grant"}`},
	} {
		f, _ := atOddServer(t, response)
		if _, err := f.Token(t.Context(), TokenOptions{}); !errors.Is(err, ErrLoginRequired) {
			t.Errorf("%s: %v", name, err)
		}
		if !f.stored().Ended {
			t.Errorf("%s: the login does not count as ended", name)
		}
	}
	for name, response := range map[string]authservertest.Response{
		"the client is refused":  {Status: 400, Body: `{"error":"unauthorized_client"}`},
		"rate limited":           {Status: 429, Body: `{"error":"invalid_grant"}`},
		"timed out":              {Status: 408, Body: `{"error":"invalid_grant"}`},
		"a scope is refused":     {Status: 400, Body: `{"error":"invalid_scope"}`},
		"a failure of the proxy": {Status: 502, Body: `{"error":"invalid_grant"}`},
	} {
		f, _ := atOddServer(t, response)
		if _, err := f.Token(t.Context(), TokenOptions{}); err == nil || errors.Is(err, ErrLoginRequired) || f.stored().Ended {
			t.Errorf("%s ended the login: %v", name, err)
		}
	}
}

func TestRefresh_TemporaryRefusalLeavesTheLoginUnchanged(t *testing.T) {
	for name, response := range map[string]authservertest.Response{
		"429":                     {Status: 429, Body: `{"error":"slow_down"}`},
		"429 without a body":      {Status: 429},
		"408":                     {Status: 408, Body: `{"error":"invalid_request"}`},
		"temporarily_unavailable": {Status: 400, Body: `{"error":"temporarily_unavailable"}`},
		"server_error":            {Status: 400, Body: `{"error":"server_error"}`},
		"server_error with 200":   {Body: `{"error":"server_error"}`},
	} {
		f, server := atOddServer(t, response)
		if _, err := f.Token(t.Context(), TokenOptions{}); !errors.Is(err, oauth.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
		server.Answer("/token", authservertest.Response{Body: rotated})
		if f.token(TokenOptions{}) != "access" {
			t.Errorf("%s: no token afterwards", name)
		}
	}
}

func TestRefresh_HonoursRetryAfterWithinTheDeadline(t *testing.T) {
	soon := http.Header{"Retry-After": {"1"}}
	patient, _ := atOddServer(t, authservertest.Response{Status: 429, Header: soon}, authservertest.Response{Body: rotated})
	start := time.Now()
	if patient.token(TokenOptions{}) != "access" || time.Since(start) < time.Second {
		t.Errorf("asked again after %v", time.Since(start))
	}
	late := http.Header{"Retry-After": {"3600"}}
	f, server := atOddServer(t, authservertest.Response{Status: 429, Header: late}, authservertest.Response{Body: rotated})
	if _, err := f.Token(t.Context(), TokenOptions{}); !errors.Is(err, oauth.ErrUnavailable) || len(server.Forms("/token")) != 1 {
		t.Errorf("%v after %d requests", err, len(server.Forms("/token")))
	}
}

func TestRefresh_ShowsTheServersMessage(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":{"message":"quota of project \u001b[31m7 is used up","code":7}}`: "quota of project",
		`{"status":400,"message":"tenant is unknown"}`:                             "tenant is unknown",
		`{"errors":[{"message":"tenant is unknown"}]}`:                             "tenant is unknown",
		`{"errors":["tenant is unknown"]}`:                                         "tenant is unknown",
		`{"errors":{"detail":"tenant is unknown"}}`:                                "tenant is unknown",
		`{"detail":[{"title":"tenant is unknown"}]}`:                               "tenant is unknown",
		`{"message":"first is not yours"}`:                                         "first is not yours",
	} {
		for _, status := range []int{200, 400, 403, 503} {
			f, _ := atOddServer(t, authservertest.Response{Status: status, Body: body})
			_, err := f.Token(t.Context(), TokenOptions{})
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("%d %s: %v", status, body, err)
			}
		}
	}
}

// The server has rotated the token, whatever it says of the rest.
func TestRefresh_KeepsATokenThatComesWithARefusal(t *testing.T) {
	const refusal = `{"error":"invalid_scope","refresh_token":"second"}`
	good := authservertest.Response{Body: `{"access_token":"access","token_type":"Bearer"}`}
	ended := authservertest.Response{Status: 400, Body: `{"error":"invalid_grant"}`}
	for name, test := range map[string]struct {
		responses []authservertest.Response
		used      string // once the second call is over
		left      string
	}{
		"the new one works":         {[]authservertest.Response{{Status: 400, Body: refusal}, good}, "first second", "second"},
		"the previous one works":    {[]authservertest.Response{{Status: 400, Body: refusal}, ended, good}, "first second first", "first"},
		"a failure":                 {[]authservertest.Response{{Status: 500, Body: refusal}, good}, "first second", "second"},
		"a good status and a error": {[]authservertest.Response{{Body: refusal}, good}, "first second", "second"},
		"a refused access token":    {[]authservertest.Response{{Body: `{"access_token":"a b","refresh_token":"second"}`}, good}, "first second", "second"},
		"two refusals":              {[]authservertest.Response{{Status: 400, Body: refusal}, {Status: 400, Body: strings.ReplaceAll(refusal, "second", "third")}}, "first second", "third"},
	} {
		f, server := atOddServer(t, test.responses...)
		if _, err := f.Token(t.Context(), TokenOptions{}); err == nil || errors.Is(err, ErrLoginRequired) {
			t.Errorf("%s: %v", name, err)
		}
		_, err := f.Token(t.Context(), TokenOptions{})
		r := f.stored()
		if used := refreshTokens(server.Forms("/token")); used != test.used || r.RefreshToken.Reveal() != test.left || r.Ended {
			t.Errorf("%s: used %q, left %q, ended %v (%v)", name, used, r.RefreshToken.Reveal(), r.Ended, err)
		}
		if err == nil != r.PreviousRefreshToken.IsZero() {
			t.Errorf("%s: the token that worked before: %q (%v)", name, r.PreviousRefreshToken.Reveal(), err)
		}
	}
}

// A request that was never sent has rotated nothing.
func TestRefresh_RefusedConnectionIsNotAnInterruptedRefresh(t *testing.T) {
	f, server := atOddServer(t, authservertest.Response{Status: 400, Body: `{"error":"invalid_grant"}`})
	address := server.Listener.Addr().String()
	server.Close()
	if _, err := f.Token(t.Context(), TokenOptions{}); !errors.Is(err, oauth.ErrUnavailable) {
		t.Fatalf("%s: %v", address, err)
	}
	if _, err := f.journal().read(); err == nil {
		t.Error("the journal says that a refresh was interrupted")
	}
}
