package e2e

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestFlowAuthorizationCode_RFC6749_RFC7636_RFC8252_OIDC_OIDCProvider(t *testing.T) {
	eachWay(t, providerOptions{}, []string{overHTTP, overTLS, inChromium}, func(f *flow) {
		said := f.login("work", "--client-id", "fob-e2e")
		if !strings.Contains(said, "Logged in to work as Ada Lovelace <ada@example.com>") {
			f.Errorf("fob says\n%s", said)
		}
		if got := f.p.last("authorized"); got.Method != "S256" || f.p.count("authorization_code") != 1 {
			f.Errorf("PKCE %q, %d codes redeemed", got.Method, f.p.count("authorization_code"))
		}
		_, known := f.token("work")
		if known.ClientID != "fob-e2e" || known.Subject != "ada" || known.TokenType != "Bearer" || !strings.Contains(known.Scope, "offline_access") {
			f.Errorf("the server says of the token %+v", known)
		}
		f.m.noneInTheClear(f.p.tokens(), "")
	})
}

func TestFlowAuthorizationCode_RFC6749_OIDCProvider_ClientSecret(t *testing.T) {
	secret := "e2e +%: secret of sufficient length"
	for _, method := range []string{"client_secret_basic", "client_secret_post"} {
		t.Run(method, func(t *testing.T) {
			options := providerOptions{Clients: []map[string]any{{"client_id": "confidential", "client_secret": secret, "token_endpoint_auth_method": method}}}
			eachWay(t, options, []string{overTLS}, func(f *flow) {
				r := f.m.fob(secret, f.loginArgs("work", "--client-id", "confidential", "--client-secret-stdin", "--token-endpoint-auth-method", method)...)
				if r.status != 0 {
					f.Fatalf("exit status %d\n%s", r.status, r.stderr)
				}
				if _, known := f.token("work", "--force-refresh"); known.ClientID != "confidential" {
					f.Errorf("the server says of the token %+v", known)
				}
			})
		})
	}
}

// The addresses of this machine that a client may have registered instead.
func TestFlowAuthorizationCode_RFC8252_OIDCProvider_OtherRedirects(t *testing.T) {
	t.Parallel()
	redirects := []string{"http://[::1]/there", "http://localhost/back/again"}
	f := newFlow(t, providerOptions{Clients: []map[string]any{{"client_id": "other", "token_endpoint_auth_method": "none", "redirect_uris": redirects}}}, overTLS)
	for _, redirect := range redirects {
		f.login("work", "--client-id", "other", "--redirect-uri", redirect)
		f.token("work")
	}
}

// Without a certificate that fob trusts there is no login.
func TestFlowAuthorizationCode_RFC8252_OIDCProvider_UnknownCA(t *testing.T) {
	t.Parallel()
	f := newFlow(t, providerOptions{}, overTLS)
	f.refused(5, "certificate", "login", "work", "--issuer", f.p.issuer, "--client-id", "fob-e2e")
}

// Where no browser would appear before the user's eyes, none is started: the URL is
// shown, and the flow that needs none is named.
func TestFlowAuthorizationCode_RFC8252_OIDCProvider_NoBrowser(t *testing.T) {
	t.Parallel()
	f := newFlow(t, providerOptions{}, overHTTP)
	for name, env := range map[string][]string{
		"nothing": nil, "WSL": {"DISPLAY=:0", "WSL_DISTRO_NAME=Debian"}, "a container": {"DISPLAY=:0", "container=docker"}, "SSH": {"DISPLAY=:0", "SSH_CONNECTION=a"},
	} {
		m := newMachine(t, append(append([]string{"BROWSER="}, sealed...), env...)...)
		login := m.start(f.loginArgs("work", "--client-id", "fob-e2e", "--timeout", "20s")...)
		if err := approve(login.find(shownURL)); err != nil {
			t.Error(err)
		}
		r := login.end()
		if r.status != 0 || !strings.Contains(r.stderr, "Open this URL in a browser:") || !strings.Contains(r.stderr, "run the same command with --device") {
			t.Errorf("in %s: exit status %d\n%s", name, r.status, r.stderr)
		}
	}
}

func TestFlowPushedAuthorization_RFC9126_OIDCProvider(t *testing.T) {
	eachWay(t, providerOptions{RequirePushed: true}, []string{overHTTP, overTLS, inChromium}, func(f *flow) {
		said := f.login("work", "--client-id", "fob-e2e")
		if strings.Contains(said, "code_challenge") || !strings.Contains(said, "request_uri=urn") {
			f.Errorf("the browser carries more than a reference:\n%s", said)
		}
		// One for the browser that fob opens, and one for the URL that is shown.
		if f.p.requests("POST /request") != 2 || f.p.last("pushed").Method != "S256" {
			f.Error("the two requests were not pushed, with their challenges, once each")
		}
		f.token("work")
	})
}

func TestFlowIssuerIdentification_RFC9207_OIDCProvider(t *testing.T) {
	eachWay(t, providerOptions{}, []string{overHTTP, overTLS}, func(f *flow) {
		for _, forged := range []string{"https://evil.example", ""} {
			back := f.callback()
			q := back.URL.Query()
			if q.Get("iss") != f.p.issuer {
				f.Fatalf("the server says iss=%q", q.Get("iss"))
			}
			if q.Del("iss"); forged != "" {
				q.Set("iss", forged)
			}
			back.URL.RawQuery = q.Encode()
			if _, err := read(http.Get(back.URL.String())); err != nil {
				f.Error(err)
			}
			if r := back.login.end(); r.status != 1 || !strings.Contains(r.stderr, "another issuer") {
				f.Errorf("iss=%q: exit status %d\n%s", forged, r.status, r.stderr)
			}
		}
		if f.p.requests("POST /token") != 0 {
			f.Error("a code was sent to the token endpoint whoever it came from")
		}
		back := f.callback()
		if _, err := read(http.Get(back.URL.String())); err != nil {
			f.Error(err)
		}
		if r := back.login.end(); r.status != 0 {
			f.Errorf("exit status %d\n%s", r.status, r.stderr)
		}
	})
}

// callback is a login that waits for the URL which its browser would go to.
type callback struct {
	login *running
	URL   *url.URL
}

func (f *flow) callback() callback {
	f.Helper()
	login := f.m.start(f.loginArgs("work", "--client-id", "fob-e2e", "--no-browser", "--timeout", "30s")...)
	b := f.browser()
	if err := b.visit(login.find(shownURL)); err != nil {
		f.Fatal(err)
	}
	back, err := url.Parse(b.back)
	if err != nil || b.back == "" {
		f.Fatalf("the browser is at %q: %v", b.back, err)
	}
	return callback{login, back}
}

// browser is one that trusts the provider.
func (f *flow) browser() *browser {
	f.Helper()
	b, err := newBrowser()
	if err != nil {
		f.Fatal(err)
	}
	b.http.Transport = f.p.client().Transport
	return b
}

func TestFlowRefresh_RFC6749_OIDCProvider(t *testing.T) {
	eachWay(t, providerOptions{AccessTokenSeconds: 5}, []string{overHTTP, overTLS}, func(f *flow) {
		f.login("work", "--client-id", "fob-e2e")
		first := strings.TrimSpace(f.m.ok("token", "work"))
		f.m.waitForExpiry()
		second, _ := f.token("work")
		third, _ := f.token("work", "--force-refresh") // needs the rotated refresh token
		if first == second || second == third || f.p.count("refresh_token") != 2 || f.p.requests("POST /token") != 3 {
			f.Errorf("%d refreshes, %d requests", f.p.count("refresh_token"), f.p.requests("POST /token"))
		}
		if _, narrow := f.token("work", "--scope", "openid"); narrow.Scope != "openid" {
			f.Errorf("asked for openid, the server says %q", narrow.Scope)
		}
		if _, whole := f.token("work", "--force-refresh"); !strings.Contains(whole.Scope, "email") {
			f.Errorf("the login has shrunk to %q", whole.Scope)
		}
	})
}

func TestFlowRevocation_RFC7009_OIDCProvider(t *testing.T) {
	eachWay(t, providerOptions{}, []string{overHTTP, overTLS}, func(f *flow) {
		f.login("work", "--client-id", "fob-e2e")
		token, _ := f.token("work")
		refresh := f.p.last("authorization_code").Tokens[1]
		if !f.p.active(refresh) {
			f.Fatal("the server does not know its refresh token")
		}
		if r := f.m.fob("", "logout", "work"); r.status != 0 || !strings.Contains(r.stderr, "refresh token revoked") {
			f.Errorf("exit status %d\n%s", r.status, r.stderr)
		}
		if f.p.active(token) || f.p.active(refresh) || f.p.count("revoked") == 0 {
			f.Error("a token is active after the logout")
		}
		f.refused(4, "hint: run 'fob login work'", "token", "work")
	})
}

func TestFlowUserinfo_OIDC_OIDCProvider(t *testing.T) {
	eachWay(t, providerOptions{}, []string{overHTTP, overTLS}, func(f *flow) {
		// The id_token of this provider names nobody: the name comes from userinfo alone.
		said := f.login("work", "--client-id", "fob-e2e")
		if !strings.Contains(said, "as Ada Lovelace <ada@example.com>") || f.p.requests("GET /me") != 1 {
			f.Errorf("%d requests for userinfo\n%s", f.p.requests("GET /me"), said)
		}
		var id struct {
			Claims struct{ Iss, Sub, Aud, Name string }
		}
		text := f.m.ok("token", "work", "--id-token", "--inspect", "--json")
		if err := json.Unmarshal([]byte(text), &id); err != nil || id.Claims.Iss != f.p.issuer || id.Claims.Sub != "ada" || id.Claims.Aud != "fob-e2e" || id.Claims.Name != "" {
			f.Errorf("the id_token says %s: %v", text, err)
		}
		if status := f.m.ok("status", "work", "--check"); !strings.Contains(status, "ada@example.com") {
			f.Errorf("status --check says\n%s", status)
		}
	})
}

func TestFlowResourceIndicators_RFC8707_OIDCProvider(t *testing.T) {
	const one, two = "https://api.example.com/one", "https://api.example.com/two"
	eachWay(t, providerOptions{}, []string{overHTTP, overTLS}, func(f *flow) {
		f.login("work", "--client-id", "fob-e2e", "--resource", one, "--resource", two, "--scope", "openid offline_access read")
		// A JWT for the first, an opaque token for the second (RFC 9068, RFC 7662).
		first := strings.TrimSpace(f.m.ok("token", "work"))
		if claims := f.accepts(one, first); claims.Audience != one || claims.ClientID != "fob-e2e" || claims.Subject != "ada" {
			f.Errorf("the token for %s says %+v", one, claims)
		}
		if _, known := f.token("work", "--resource", two); known.Audience != two || known.Scope != "read" {
			f.Errorf("the server says of the token for %s %+v", two, known)
		}
		if again := strings.TrimSpace(f.m.ok("token", "work", "--force-refresh")); f.accepts(one, again).Audience != one {
			f.Error("a refresh gives a token for another resource")
		}
		// The profile asks for the first resource, and the server gives tokens for one at
		// a time: a token for another API is refused by this one.
		if status, _, _ := f.p.get("GET", f.p.issuer+"/api", "Authorization: Bearer "+first); status != http.StatusUnauthorized {
			f.Errorf("another API takes the token: %d", status)
		}
		f.refused(1, "invalid_target", "token", "work", "--resource", f.p.issuer+"/api") // there, but not of this login
		f.refused(1, "invalid_target", f.loginArgs("other", "--client-id", "fob-e2e", "--resource", "https://api.example.com/three")...)
	})
}

// claims are what an API reads in a JWT access token (RFC 9068 §2.2).
type claims struct {
	Audience string `json:"aud"`
	ClientID string `json:"client_id"`
	Subject  string `json:"sub"`
	Scope    string `json:"scope"`
}

// accepts shows a token to an API, which checks its signature and its audience.
func (f *flow) accepts(resource, token string) claims {
	f.Helper()
	status, _, body := f.p.get("GET", f.p.issuer+"/api?audience="+url.QueryEscape(resource), "Authorization: Bearer "+strings.TrimSpace(token))
	var c claims
	if err := json.Unmarshal([]byte(body), &c); err != nil || status != http.StatusOK {
		f.Errorf("the API refuses the token: %d %s", status, body)
	}
	return c
}

// An API names its server, and the server takes fob as a client: its URL is all that
// a user has to know.
func TestFlowProtectedResource_RFC9728_RFC7591_RFC8707_OIDCProvider(t *testing.T) {
	eachWay(t, providerOptions{}, []string{overHTTP, overTLS, inChromium}, func(f *flow) {
		resource := f.p.issuer + "/api"
		f.at = f.at[2:] // not the issuer
		said := f.login("api", "--resource", resource)
		if !strings.Contains(said, f.p.issuer) || f.p.count("registered") != 1 {
			f.Errorf("%d clients registered\n%s", f.p.count("registered"), said)
		}
		if c := f.accepts(resource, f.m.ok("token", "api")); c.Audience != resource || c.Subject != "ada" || c.ClientID != f.p.last("registered").Client {
			f.Errorf("the token says %+v", c)
		}
	})
}

func TestFlowRegistration_RFC7591_RFC7592_OIDCProvider(t *testing.T) {
	eachWay(t, providerOptions{}, []string{overHTTP, overTLS, inChromium}, func(f *flow) {
		f.login("work")
		registered := f.p.last("registered").Client
		if _, known := f.token("work", "--force-refresh"); registered == "" || known.ClientID != registered {
			f.Errorf("the token is of the client %q, not %q", known.ClientID, registered)
		}
		f.login("work")
		if n := f.p.count("registered"); n != 1 {
			f.Errorf("%d clients registered", n)
		}
		token, _ := f.token("work")
		if r := f.m.fob("", "logout", "work", "--unregister"); r.status != 0 || !strings.Contains(r.stderr, "client registration removed") {
			f.Errorf("exit status %d\n%s", r.status, r.stderr)
		}
		if f.p.active(token) || f.p.last("unregistered").Client != registered {
			f.Error("the token, or the client, is still there")
		}
		// The server itself does not know the client any more.
		resp, err := f.p.client().PostForm(f.p.issuer+"/token/introspection", url.Values{"token": {token}, "client_id": {registered}})
		if err != nil {
			f.Fatal(err)
		}
		if _ = resp.Body.Close(); resp.StatusCode != http.StatusUnauthorized {
			f.Errorf("the client can still ask: %s", resp.Status)
		}
	})
}

func TestFlowRegistration_RFC7592_OIDCProvider_FailedLogin(t *testing.T) {
	t.Parallel()
	f := newFlow(t, providerOptions{}, overTLS)
	f.refused(1, "the login was not finished in the browser", f.loginArgs("work", "--no-browser", "--timeout", "1s")...)
	if f.p.count("registered") != 1 || f.p.count("unregistered") != 1 {
		t.Errorf("%d clients registered, %d removed", f.p.count("registered"), f.p.count("unregistered"))
	}
}

func TestFlowDPoP_RFC9449_OIDCProvider(t *testing.T) {
	for name, nonce := range map[string]bool{"": false, "WithNonce": true} {
		t.Run(name, func(t *testing.T) {
			eachWay(t, providerOptions{DPoPNonce: nonce}, []string{overHTTP, overTLS}, func(f *flow) {
				f.login("work", "--client-id", "fob-e2e", "--dpop")
				_, first := f.token("work")
				_, second := f.token("work", "--force-refresh")
				key := first.Confirmation.Thumbprint
				if key == "" || key != second.Confirmation.Thumbprint || second.TokenType != "DPoP" || f.p.last("pushed").Key != key {
					f.Errorf("a code for the key %q, tokens for %q and %q with type %q", f.p.last("pushed").Key, key, second.Confirmation.Thumbprint, second.TokenType)
				}
				f.proofs(nonce)
				// The refresh token of a public client is bound, too (RFC 9449 §5).
				stolen := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {f.p.last("refresh_token").Tokens[1]}, "client_id": {"fob-e2e"}}
				resp, err := f.p.client().PostForm(f.p.issuer+"/token", stolen)
				if err != nil {
					f.Fatal(err)
				}
				if _ = resp.Body.Close(); resp.StatusCode != http.StatusBadRequest {
					f.Errorf("a refresh without the key: %s", resp.Status)
				}
				f.token("work", "--force-refresh")
			})
		})
	}
}

// proofs shows the headers that fob prints to a resource of the provider's.
func (f *flow) proofs(nonce bool) {
	f.Helper()
	resource := f.p.issuer + "/me"
	ask := []string{"token", "work", "--dpop", "GET", resource}
	if nonce {
		status, header, _ := f.p.get("GET", resource, f.m.ok(ask...))
		if status != http.StatusUnauthorized || header.Get("DPoP-Nonce") == "" {
			f.Errorf("without a nonce: %d", status)
		}
		ask = append(ask, "--dpop-nonce", header.Get("DPoP-Nonce"))
	}
	headers := f.m.ok(ask...)
	if status, _, body := f.p.get("GET", resource, headers); status != http.StatusOK || !strings.Contains(body, "ada@example.com") {
		f.Errorf("%d %s", status, body)
	}
	bearer := "Authorization: Bearer " + f.m.ok("token", "work")
	other := f.m.ok(append([]string{"token", "work", "--dpop", "POST"}, ask[4:]...)...)
	for what, wrong := range map[string]string{"the same proof again": headers, "the token alone": bearer, "a proof for another method": other} {
		if status, _, _ := f.p.get("GET", resource, wrong); status == http.StatusOK {
			f.Errorf("the server takes %s", what)
		}
	}
}

// What is pushed is bound to the key, too, and the browser is a real one.
func TestFlowDPoP_RFC9449_RFC9126_OIDCProvider(t *testing.T) {
	eachWay(t, providerOptions{RequirePushed: true, DPoPNonce: true}, []string{inChromium}, func(f *flow) {
		f.login("work", "--client-id", "fob-e2e", "--dpop")
		if _, known := f.token("work"); known.Confirmation.Thumbprint == "" {
			f.Error("the token is not bound to a key")
		}
	})
}

// The page that ends a browser's session at the server is opened where that is asked
// for, and named where it is not.
func TestFlowLogout_OIDCRPInitiatedLogout_OIDCProvider(t *testing.T) {
	eachWay(t, providerOptions{}, []string{overHTTP, overTLS}, func(f *flow) {
		login := f.m.start(f.loginArgs("work", "--client-id", "fob-e2e", "--no-browser", "--timeout", "30s")...)
		b := f.browser()
		if err := b.visit(login.find(shownURL)); err != nil {
			f.Fatal(err)
		}
		if _, err := read(http.Get(b.back)); err != nil {
			f.Fatal(err)
		}
		if r := login.end(); r.status != 0 {
			f.Fatalf("exit status %d\n%s", r.status, r.stderr)
		}
		logout := f.m.start("logout", "work")
		page := logout.find(shownURL)
		if r := logout.end(); r.status != 0 || f.p.count("session ended") != 0 {
			f.Errorf("exit status %d\n%s", r.status, r.stderr)
		}
		b.says = "logout"
		if err := b.visit(page); err != nil || !strings.Contains(b.page, "Sign-out Success") || f.p.count("session ended") != 1 {
			f.Errorf("the page %s says %.600s, %v", page, b.page, err)
		}
	})
}

func TestFlowLogout_OIDCRPInitiatedLogout_OIDCProvider_EndSession(t *testing.T) {
	eachWay(t, providerOptions{}, []string{inChromium}, func(f *flow) {
		f.login("work", "--client-id", "fob-e2e")
		token, _ := f.token("work")
		if r := f.m.fob("", "logout", "work", "--end-session"); r.status != 0 || !strings.Contains(r.stderr, "Sign-out Success") {
			f.Errorf("exit status %d\n%s", r.status, r.stderr)
		}
		if f.p.active(token) || f.p.count("session ended") != 1 {
			f.Errorf("%d sessions ended", f.p.count("session ended"))
		}
	})
}
