package oauth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/discovery"
)

// newRequest is a login at an issuer that says iss in its answers.
func newRequest(redirectURI string) *AuthorizationRequest {
	c := &Client{ClientID: "fob", Metadata: &discovery.Metadata{
		Issuer: "https://sso.example.com", AuthorizationEndpoint: "https://sso.example.com/authorize?tenant=1",
		JWKSURI: "https://sso.example.com/jwks", IssParameterSupported: true,
	}}
	return c.mustRequest(redirectURI, AuthorizationParams{Scopes: []string{"openid", "email"}, Extra: map[string]string{"prompt": "consent"}})
}

// mustRequest is NewAuthorizationRequest for a client whose URLs and keys are well.
func (c *Client) mustRequest(redirectURI string, params AuthorizationParams) *AuthorizationRequest {
	r, err := c.NewAuthorizationRequest(redirectURI, params)
	if err != nil {
		panic(err)
	}
	return r
}

// goodCallback is the callback of a login that went well.
func goodCallback(r *AuthorizationRequest) url.Values {
	return url.Values{"code": {"a-code"}, "state": {r.state.Reveal()}, "iss": {"https://sso.example.com"}}
}

func TestRequestParameters(t *testing.T) {
	r := newRequest("http://127.0.0.1:5/callback")
	u, err := url.Parse(r.URL())
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for name, want := range map[string]string{
		"tenant": "1", "response_type": "code", "client_id": "fob", "redirect_uri": "http://127.0.0.1:5/callback", "scope": "openid email",
		"prompt": "consent", "code_challenge_method": "S256", "code_challenge": oauth2.S256ChallengeFromVerifier(r.codeVerifier.Reveal()),
		"nonce": r.Nonce, "state": r.state.Reveal(),
	} {
		if q.Get(name) != want || want == "" || len(q[name]) != 1 {
			t.Errorf("%s is %q, want %q", name, q[name], want)
		}
	}
	if strings.Contains(r.URL(), r.codeVerifier.Reveal()) {
		t.Error("the verifier is in the URL")
	}
	if shown := fmt.Sprintf("%+v %#v %s", r.state, r.codeVerifier, r.state); strings.Contains(shown, r.state.Reveal()) || strings.Contains(shown, r.codeVerifier.Reveal()) {
		t.Error("state or verifier print themselves")
	}
}

func TestEveryRequestIsFresh(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		r := newRequest("http://127.0.0.1:5/callback")
		for _, value := range []string{r.state.Reveal(), r.Nonce, r.codeVerifier.Reveal()} {
			if raw, err := base64.RawURLEncoding.DecodeString(value); seen[value] || err != nil || len(raw) != 32 {
				t.Fatalf("%q is not fresh, or not 32 bytes", value)
			}
			seen[value] = true
		}
	}
	c := &Client{Metadata: &discovery.Metadata{AuthorizationEndpoint: "https://x/authorize", JWKSURI: "https://x/jwks"}}
	if r := c.mustRequest("http://127.0.0.1:5/callback", AuthorizationParams{Scopes: []string{"email"}}); r.Nonce != "" || strings.Contains(r.URL(), "nonce") {
		t.Error("a request without openid has a nonce")
	}
}

// RFC 7636 Appendix B; TestRequestParameters holds the URL to the same function.
func TestChallengeOfRFC7636(t *testing.T) {
	const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	if got := oauth2.S256ChallengeFromVerifier(verifier); got != challenge {
		t.Errorf("the challenge is %q, want %q", got, challenge)
	}
}

func TestCodeOfACallback(t *testing.T) {
	var refusal *AuthorizationError
	for name, test := range map[string]struct {
		change  func(url.Values)
		refused func(error) bool // nil: the code is taken
	}{
		"good":                         {change: func(url.Values) {}},
		"unknown parameters":           {change: func(q url.Values) { q["session_state"] = []string{"a", "b"} }},
		"A1 wrong state":               {func(q url.Values) { q.Set("state", "guessed") }, isStray},
		"A1 longer state":              {func(q url.Values) { q.Set("state", q.Get("state")+"x") }, isStray},
		"A1 shorter state":             {func(q url.Values) { q.Set("state", q.Get("state")[:42]) }, isStray},
		"A2 missing state":             {func(q url.Values) { q.Del("state") }, isStray},
		"A2 empty state":               {func(q url.Values) { q.Set("state", "") }, isStray},
		"A3 error with a bad state":    {func(q url.Values) { q.Set("state", "x"); q.Set("error", "access_denied") }, isStray},
		"A4 error with the good state": {func(q url.Values) { q.Set("error", "access_denied") }, func(err error) bool { return errors.As(err, &refusal) && refusal.Code == "access_denied" }},
		"A5 duplicate state":           {func(q url.Values) { q.Add("state", q.Get("state")) }, isStray},
		"A5 duplicate code":            {func(q url.Values) { q.Add("code", q.Get("code")) }, isMalformed},
		"A5 duplicate iss":             {func(q url.Values) { q.Add("iss", q.Get("iss")) }, isMalformed},
		"A5 duplicate error":           {func(q url.Values) { q["error"] = []string{"a", "b"} }, isMalformed},
		"A6 another iss":               {func(q url.Values) { q.Set("iss", "https://evil.example") }, isMalformed},
		"A6 iss with a slash":          {func(q url.Values) { q.Set("iss", q.Get("iss")+"/") }, isMalformed},
		"A6 iss in another case":       {func(q url.Values) { q.Set("iss", "https://SSO.example.com") }, isMalformed},
		"A6 iss empty":                 {func(q url.Values) { q.Set("iss", "") }, isMalformed},
		"A6 iss absent":                {func(q url.Values) { q.Del("iss") }, isMalformed},
		"A6 an error of another iss":   {func(q url.Values) { q.Set("iss", "https://evil.example"); q.Set("error", "x") }, isMalformed},
		"no code":                      {func(q url.Values) { q.Del("code") }, isMalformed},
		"empty code":                   {func(q url.Values) { q.Set("code", "") }, isMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRequest("http://127.0.0.1:5/callback")
			q := goodCallback(r)
			test.change(q)
			code, err := r.Code(q)
			if test.refused == nil && (err != nil || code != "a-code") {
				t.Errorf("Code() = %q, %v", code, err)
			}
			if test.refused != nil && (err == nil || !test.refused(err) || code != "") {
				t.Errorf("Code() = %q, %v", code, err)
			}
		})
	}
}

func isStray(err error) bool     { return errors.Is(err, ErrStray) }
func isMalformed(err error) bool { return errors.Is(err, ErrMalformed) }

func TestA6IssWhereItIsNotAdvertised(t *testing.T) {
	c := &Client{Metadata: &discovery.Metadata{Issuer: "https://sso.example.com"}}
	for name, test := range map[string]struct {
		iss  []string
		good bool
	}{
		"absent":  {nil, true},
		"right":   {[]string{"https://sso.example.com"}, true},
		"another": {[]string{"https://evil.example"}, false},
	} {
		r := c.mustRequest("http://127.0.0.1:5/callback", AuthorizationParams{})
		q := goodCallback(r)
		q["iss"] = test.iss
		if test.iss == nil {
			q.Del("iss")
		}
		if _, err := r.Code(q); (err == nil) != test.good {
			t.Errorf("A6 %s: %v", name, err)
		}
	}
}

func TestA4TheServersTextIsInert(t *testing.T) {
	err := error(&AuthorizationError{Code: "x\x1b[31m", Description: "one\r\nerror: two\u202e" + strings.Repeat("y", 500)})
	if got := err.Error(); strings.ContainsAny(got, "\x1b\r\n\u202e") || len(got) > 500 {
		t.Errorf("A4, H61: %q", got)
	}
}

// answered logs in at the test issuer, up to the redirect.
func answered(t *testing.T, c *Client) (*AuthorizationRequest, url.Values, string) {
	t.Helper()
	r := c.mustRequest("http://127.0.0.1:1/callback", AuthorizationParams{Scopes: []string{"openid"}})
	back, err := authservertest.Redirect(t.Context(), r.URL(), c.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	q, err := r.ParsePasted(back)
	if err != nil {
		t.Fatal(err)
	}
	return r, q, back
}

func TestA8StolenCode(t *testing.T) {
	_, c := atServer(t, authservertest.Options{})
	victim, q, _ := answered(t, c)
	_, stolen, _ := answered(t, c)
	q.Set("code", stolen.Get("code"))
	code, err := victim.Code(q)
	if err != nil {
		t.Fatal(err) // all that a client can check is right
	}
	if r, err := c.Exchange(t.Context(), victim, code); !EndsLogin(err) || r != nil {
		t.Errorf("A8: the server takes another's verifier: %v, %v", r, err)
	}
}

func TestA9TwoLoginsAtOnce(t *testing.T) {
	_, c := atServer(t, authservertest.Options{})
	one, q1, back1 := answered(t, c)
	two, q2, back2 := answered(t, c)
	if _, err := one.ParsePasted(back2); !isStray(err) {
		t.Errorf("A9: the first takes the second's callback: %v", err)
	}
	if _, err := two.ParsePasted(back1); !isStray(err) {
		t.Errorf("A9: the second takes the first's callback: %v", err)
	}
	for r, q := range map[*AuthorizationRequest]url.Values{one: q1, two: q2} {
		code, err := r.Code(q)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Exchange(t.Context(), r, code); err != nil {
			t.Errorf("A9: %v", err)
		}
	}
}

func TestPastedRedirectURLs(t *testing.T) {
	for _, test := range []struct {
		redirect, change, to string
		good                 bool
	}{
		{redirect: "http://127.0.0.1:5/callback", good: true},
		{redirect: "http://localhost:80/callback", change: ":80", good: true}, // as browsers show it
		{redirect: "http://localhost:5", change: "?", to: "/?", good: true},
		{redirect: "http://127.0.0.1:5/callback", change: "127.0.0.1:5", to: "127.0.0.1:6"},
		{redirect: "http://127.0.0.1:5/callback", change: "127.0.0.1:5", to: "localhost:5"},
		{redirect: "http://127.0.0.1:5/callback", change: "http:", to: "https:"},
		{redirect: "http://127.0.0.1:5/callback", change: "/callback", to: "/other"},
		{redirect: "http://127.0.0.1:5/callback", change: "/callback", to: "/%63allback"},
		{redirect: "http://127.0.0.1:5/callback", change: "127.0.0.1", to: "user@127.0.0.1"},
		{redirect: "http://127.0.0.1:5/callback", change: "state=", to: "state=x"},
		{redirect: "http://127.0.0.1:5/callback", change: "state=", to: "x=%zz&state="},
		{redirect: "http://127.0.0.1:5/callback", change: "http://127.0.0.1:5/callback?"},
		{redirect: "http://127.0.0.1:5/callback", change: "http", to: "\x00http"},
		{redirect: "http://127.0.0.1:5/callback", change: "http", to: `<"http`, good: true},
	} {
		r := newRequest(test.redirect)
		line := strings.Replace(test.redirect+"?"+goodCallback(r).Encode(), test.change, test.to, 1)
		q, err := r.ParsePasted(" " + line + "\r\n")
		if test.good != (err == nil) || test.good && q.Get("code") != "a-code" {
			t.Errorf("ParsePasted(%q) = %v, %v", line, q, err)
		}
		if err != nil && strings.Contains(err.Error(), "a-code") {
			t.Errorf("the error holds the code: %v", err)
		}
	}
}
