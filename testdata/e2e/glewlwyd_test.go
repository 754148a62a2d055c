package e2e

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// newMachineAtGlewlwyd is a machine whose browser is Ada's.
func newMachineAtGlewlwyd(t testing.TB, g *glewlwyd) *machine {
	t.Helper()
	env := append(slices.Clone(sealed), "E2E_BROWSER=glewlwyd")
	if g.tls != nil {
		env = append(env, "E2E_CA="+g.tls.CA)
	}
	return newMachine(t, env...)
}

// native makes the client fob-e2e of a program: glewlwyd compares the redirect's
// port too, so that one is set aside.
func (g *glewlwyd) native(properties map[string]any) (redirect string) {
	g.t.Helper()
	redirect = fmt.Sprintf("http://127.0.0.1:%d/callback/{issuer}", freePort(g.t))
	registered := strings.Replace(redirect, "{issuer}", issuerHash(g.issuer), 1)
	client := map[string]any{"redirect_uri": []string{registered}, "authorization_type": []string{"code", "refresh_token", "device_authorization"}}
	maps.Copy(client, properties)
	g.client("fob-e2e", client)
	return redirect
}

// login logs in to work as fob-e2e, and must succeed. Where Ada's browser gives up, fob
// does not wait for long.
func (g *glewlwyd) login(m *machine, stdin string, args ...string) string {
	g.t.Helper()
	r := m.fob(stdin, append([]string{"login", "work", "--issuer", g.issuer, "--client-id", "fob-e2e", "--timeout", "30s"}, args...)...)
	if r.status != 0 {
		g.t.Fatalf("exit status %d\n%s\n%s", r.status, r.stderr, g.log())
	}
	return r.stderr
}

func TestFlowAuthorizationCode_RFC6749_RFC7636_RFC8252_OIDC_Glewlwyd(t *testing.T) {
	t.Parallel()
	g := startGlewlwyd(t, glewlwydOptions{tls: newPKI(t)})
	redirect := g.native(nil)
	m := newMachineAtGlewlwyd(t, g)
	shown := g.login(m, "", "--redirect-uri", redirect, "--ca-file", g.tls.CA)
	if !strings.Contains(shown, "Logged in to work as Ada Lovelace <ada@example.com>") || !strings.Contains(shown, "code_challenge_method=S256") {
		t.Errorf("fob says\n%s", shown)
	}
	said := g.introspect(m.ok("token", "work"))
	if !said.Active || said.ClientID != "fob-e2e" || said.Username != "ada" || said.Scope != "openid profile email" {
		t.Errorf("the server says of the token: %+v", said)
	}
	var status struct {
		State   string
		Account struct{ Email string }
	}
	if err := json.Unmarshal([]byte(m.ok("status", "work", "--json")), &status); err != nil || status.State != "valid" || status.Account.Email != "ada@example.com" {
		t.Errorf("status %+v, %v", status, err)
	}
	if said := g.introspect(m.ok("token", "work", "--id-token")); !said.Active || said.TokenType != "id_token" {
		t.Errorf("the server says of the id_token: %+v", said)
	}
	// glewlwyd lets no public client revoke (RFC 7009 §2.1 does): fob does not say it did.
	if r := m.fob("", "logout", "work"); r.status != 1 || !strings.Contains(r.stderr, "refresh token not revoked") || !strings.Contains(r.stderr, "deleted here") {
		t.Errorf("logout: %d\n%s", r.status, r.stderr)
	}
}

// refreshTokens are those that Ada sees on her page of the server: true where one
// is still good.
func (g *glewlwyd) refreshTokens() []bool {
	g.t.Helper()
	browser := g.ada()
	if err := browser.logIn(g.url); err != nil {
		g.t.Fatal(err)
	}
	text, err := read(browser.hc.Get(g.issuer + "/token"))
	var list []struct{ Enabled bool }
	if err != nil || json.Unmarshal([]byte(text), &list) != nil {
		g.t.Fatalf("the list of tokens: %q, %v", text, err)
	}
	var enabled []bool
	for _, token := range list {
		enabled = append(enabled, token.Enabled)
	}
	return enabled
}

func TestFlowRefresh_RFC6749_Glewlwyd(t *testing.T) {
	t.Parallel()
	g := startGlewlwyd(t, glewlwydOptions{})
	redirect := g.native(nil)
	m := newMachineAtGlewlwyd(t, g)
	g.login(m, "", "--redirect-uri", redirect, "--scope", "openid read write")
	first := m.ok("token", "work")
	second := m.ok("token", "work", "--force-refresh")
	third := m.ok("token", "work", "--force-refresh")
	if second == first || third == second || !g.introspect(third).Active {
		t.Error("a refresh brings no new token")
	}
	// Each refresh token is good for one use: fob has kept each new one.
	if got := g.refreshTokens(); len(got) != 3 || len(slices.DeleteFunc(got, func(good bool) bool { return !good })) != 1 {
		t.Errorf("refresh tokens at the server: %v", got)
	}
	// glewlwyd gives every scope again whatever is asked for, and says so: fob does not
	// hand that on as less, and keeps the refresh token that came with it.
	if r := m.fob("", "token", "work", "--scope", "openid read"); r.status != 1 || r.stdout != "" || !strings.Contains(r.stderr, "more scopes than were requested") {
		t.Errorf("a token for less: %d\n%s", r.status, r.stderr)
	}
	if !g.introspect(m.ok("token", "work", "--force-refresh")).Active {
		t.Error("the login does not live on")
	}
}

// startLogin runs a login of work that waits for Ada.
func (g *glewlwyd) startLogin(m *machine, args ...string) *running {
	return m.start(append([]string{"login", "work", "--issuer", g.issuer, "--client-id", "fob-e2e", "--timeout", "30s"}, args...)...)
}

func TestFlowIssuerIdentification_RFC9207_Glewlwyd(t *testing.T) {
	t.Parallel()
	g := startGlewlwyd(t, glewlwydOptions{plugin: map[string]any{"oauth-as-iss-id": true}})
	redirect := g.native(nil)
	m := newMachineAtGlewlwyd(t, g)
	for _, iss := range []string{"https://other.example.com", g.issuer} {
		login := g.startLogin(m, "--redirect-uri", redirect, "--no-browser")
		back, err := g.ada().visit(login.find(shownURL))
		if err != nil {
			t.Fatalf("%v\n%s", err, g.log())
		}
		u, err := url.Parse(back)
		if err != nil || u.Query().Get("iss") != g.issuer {
			t.Fatalf("Ada is sent to %s, %v", back, err)
		}
		q := u.Query()
		q.Set("iss", iss)
		u.RawQuery = q.Encode()
		if _, err := read(http.Get(u.String())); err != nil {
			t.Fatal(err)
		}
		r, tokens := login.end(), len(g.refreshTokens())
		if right := iss == g.issuer; right != (r.status == 0) || right != (tokens == 1) || !right && !strings.Contains(r.stderr, "another issuer") {
			t.Errorf("iss %s: exit status %d, %d refresh tokens at the server\n%s", iss, r.status, tokens, r.stderr)
		}
	}
}

func TestFlowDevice_RFC8628_Glewlwyd(t *testing.T) {
	t.Parallel()
	g := startGlewlwyd(t, glewlwydOptions{})
	g.native(nil)
	for _, bound := range []bool{false, true} {
		m := newMachineAtGlewlwyd(t, g)
		login := g.startLogin(m, "--device", fmt.Sprintf("--dpop=%t", bound))
		page, code := login.find(shownURL), login.find(`enter the code\n\n  (\S+)`)
		end, err := g.ada().visit(page + "?code=" + code)
		if err != nil || !strings.Contains(end, "prompt=deviceComplete") {
			t.Fatalf("Ada ends at %s, %v\n%s", end, err, g.log())
		}
		if r := login.end(); r.status != 0 || !strings.Contains(r.stderr, "Logged in to work as Ada Lovelace") {
			t.Fatalf("exit status %d\n%s\n%s", r.status, r.stderr, g.log())
		}
		said := g.introspect(m.ok("token", "work", "--force-refresh"))
		if !said.Active || said.Username != "ada" || said.ClientID != "fob-e2e" || bound != (said.Confirmation.Thumbprint != "") {
			t.Errorf("the server says of the token: %+v", said)
		}
	}
}

func TestFlowClientCredentials_RFC6749_Glewlwyd(t *testing.T) {
	t.Parallel()
	g := startGlewlwyd(t, glewlwydOptions{})
	// glewlwyd takes a secret in an Authorization header as it is, not form-encoded as
	// RFC 6749 §2.3.1 has it.
	for method, secret := range map[string]string{"client_secret_basic": longSecret, "client_secret_post": "so +secret: ü%"} {
		g.client("svc-"+method, map[string]any{
			"confidential": true, "client_secret": secret, "token_endpoint_auth_method": []string{method},
			"scope": []string{"read", "write"}, "authorization_type": []string{"client_credentials"},
		})
		m := newMachineAtGlewlwyd(t, g)
		r := m.fob(secret+"\n", "login", "svc", "--issuer", g.issuer, "--client-id", "svc-"+method, "--grant", "client_credentials",
			"--client-secret-stdin", "--token-endpoint-auth-method", method, "--scope", "read")
		if r.status != 0 {
			t.Errorf("%s: exit status %d\n%s\n%s", method, r.status, r.stderr, g.log())
			continue
		}
		first := m.ok("token", "svc")
		if said := g.introspect(first); !said.Active || said.ClientID != "svc-"+method || said.Scope != "read" {
			t.Errorf("%s: the server says of the token: %+v", method, said)
		}
		if second := m.ok("token", "svc", "--force-refresh"); second == first || !g.introspect(second).Active {
			t.Errorf("%s: no new token", method)
		}
	}
}

// assertingService is a service that proves itself by a JWT.
func (g *glewlwyd) assertingService(method string, properties map[string]any) {
	g.t.Helper()
	client := map[string]any{"confidential": true, "token_endpoint_auth_method": []string{method}, "scope": []string{"read"}, "authorization_type": []string{"client_credentials"}}
	maps.Copy(client, properties)
	g.client("svc", client)
}

// loginAsserting logs in as that service. glewlwyd takes a JWT for the URL of the very
// endpoint alone, and not for the issuer, as fob writes it unless told otherwise.
func (g *glewlwyd) loginAsserting(m *machine, stdin string, args ...string) {
	g.t.Helper()
	args = append(args, "--client-id", "svc", "--grant", "client_credentials", "--scope", "read")
	if r := m.fob(stdin, append([]string{"login", "refused", "--issuer", g.issuer}, args...)...); r.status != 1 || !strings.Contains(r.stderr, "403 Forbidden") {
		g.t.Errorf("for the issuer: exit status %d\n%s", r.status, r.stderr)
	}
	if r := m.fob(stdin, append([]string{"login", "svc", "--issuer", g.issuer, "--client-assertion-audience", "endpoint"}, args...)...); r.status != 0 {
		g.t.Fatalf("exit status %d\n%s\n%s", r.status, r.stderr, g.log())
	}
	for range 2 {
		if said := g.introspect(m.ok("token", "svc", "--force-refresh")); !said.Active || said.ClientID != "svc" || said.Scope != "read" {
			g.t.Errorf("the server says of the token: %+v", said)
		}
	}
}

func TestFlowPrivateKeyJWT_RFC7523_Glewlwyd(t *testing.T) {
	t.Parallel()
	id := newIdentity(t, nil, &x509.Certificate{})
	_, file := id.write(t, t.TempDir(), "svc")
	t.Run("PEM in a file", func(t *testing.T) {
		t.Parallel()
		g := startGlewlwyd(t, glewlwydOptions{})
		g.assertingService("private_key_jwt", map[string]any{"pubkey": publicPEM(t, id.key)})
		g.loginAsserting(newMachineAtGlewlwyd(t, g), "", "--private-key-file", file)
	})
	t.Run("JWK on stdin", func(t *testing.T) {
		t.Parallel()
		g := startGlewlwyd(t, glewlwydOptions{})
		key := publicJWK(id.key)
		key["kid"] = "of-svc" // glewlwyd finds the key by it
		g.assertingService("private_key_jwt", map[string]any{"jwks": map[string]any{"keys": []any{maps.Clone(key)}}})
		d, err := id.key.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		key["d"] = base64.RawURLEncoding.EncodeToString(d)
		text, err := json.Marshal(key)
		if err != nil {
			t.Fatal(err)
		}
		g.loginAsserting(newMachineAtGlewlwyd(t, g), string(text), "--private-key-stdin")
	})
}

const longSecret = "a-secret-of-more-than-thirty-two-bytes"

func TestFlowClientSecretJWT_RFC7523_Glewlwyd(t *testing.T) {
	t.Parallel()
	g := startGlewlwyd(t, glewlwydOptions{})
	g.assertingService("client_secret_jwt", map[string]any{"client_secret": longSecret})
	g.loginAsserting(newMachineAtGlewlwyd(t, g), longSecret, "--client-secret-stdin", "--token-endpoint-auth-method", "client_secret_jwt")
}

func TestFlowMutualTLS_RFC8705_Glewlwyd(t *testing.T) {
	t.Parallel()
	t.Run("by the CA", certifiedByCA)
	t.Run("by itself", certifiedByItself)
}

// withCertificates is a plugin that looks at clients' certificates.
var withCertificates = map[string]any{"client-cert-source": "TLS", "client-cert-use-endpoint-aliases": true, "client-cert-self-signed-allowed": true}

func certifiedByCA(t *testing.T) {
	t.Parallel()
	g := startGlewlwyd(t, glewlwydOptions{tls: newPKI(t), plugin: withCertificates})
	redirect := g.native(map[string]any{
		"confidential": true, "token_endpoint_auth_method": []string{"tls_client_auth"}, "tls_client_auth_san_dns": "svc.example.com",
		"scope": []string{"read"}, "authorization_type": []string{"client_credentials", "code", "refresh_token"},
	})
	m := newMachineAtGlewlwyd(t, g)
	login := func(profile, name string, args ...string) (*identity, result) {
		id := newIdentity(t, g.tls.root, &x509.Certificate{DNSNames: []string{name + ".example.com"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		cert, key := id.write(t, t.TempDir(), name)
		return id, m.fob("", append([]string{"login", profile, "--issuer", g.issuer, "--client-id", "fob-e2e", "--ca-file", g.tls.CA, "--certificate-file", cert, "--certificate-key-file", key}, args...)...)
	}
	if _, r := login("other", "other", "--grant", "client_credentials", "--scope", "read"); r.status != 1 || !strings.Contains(r.stderr, "403 Forbidden") {
		t.Errorf("another certificate: exit status %d\n%s", r.status, r.stderr)
	}
	for profile, args := range map[string][]string{"svc": {"--grant", "client_credentials", "--scope", "read"}, "work": {"--redirect-uri", redirect}} {
		id, r := login(profile, "svc", args...)
		if r.status != 0 {
			t.Errorf("%s: exit status %d\n%s\n%s", profile, r.status, r.stderr, g.log())
			continue
		}
		token := m.ok("token", profile, "--force-refresh")
		if said := g.introspect(token); !said.Active || said.ClientID != "fob-e2e" || said.Confirmation.Certificate != id.thumbprint() {
			t.Errorf("%s: the server says of the token: %+v", profile, said)
		}
		if r := m.fob("", "logout", profile); r.status != 0 || g.introspect(token).Active {
			t.Errorf("%s: logout: exit status %d\n%s\n%s", profile, r.status, r.stderr, g.log())
		}
	}
}

// glewlwyd sees no certificate that its CA file does not vouch for, not even one that
// is among the client's keys. The other one in the file is nobody's.
func certifiedByItself(t *testing.T) {
	t.Parallel()
	pki := newPKI(t)
	id, cert, key := pki.certified(t, "svc", true)
	_, otherCert, otherKey := pki.certified(t, "svc", true)
	pki.trust(t, cert, otherCert)
	g := startGlewlwyd(t, glewlwydOptions{tls: pki, plugin: withCertificates})
	g.client("svc", map[string]any{
		"confidential": true, "token_endpoint_auth_method": []string{"self_signed_tls_client_auth"}, "jwks": map[string]any{"keys": []any{id.jwk()}},
		"scope": []string{"read"}, "authorization_type": []string{"client_credentials"},
	})
	m := newMachineAtGlewlwyd(t, g)
	login := func(cert, key string) result {
		return m.fob("", "login", "svc", "--issuer", g.issuer, "--client-id", "svc", "--ca-file", pki.CA, "--grant", "client_credentials", "--scope", "read",
			"--token-endpoint-auth-method", "self_signed_tls_client_auth", "--certificate-file", cert, "--certificate-key-file", key)
	}
	if r := login(otherCert, otherKey); r.status != 1 || !strings.Contains(r.stderr, "403 Forbidden") {
		t.Errorf("another certificate: exit status %d\n%s", r.status, r.stderr)
	}
	if r := login(cert, key); r.status != 0 {
		t.Fatalf("exit status %d\n%s\n%s", r.status, r.stderr, g.log())
	}
	if said := g.introspect(m.ok("token", "svc", "--force-refresh")); !said.Active || said.ClientID != "svc" || said.Confirmation.Certificate != id.thumbprint() {
		t.Errorf("the server says of the token: %+v", said)
	}
}

func TestFlowPushedAuthorization_RFC9126_Glewlwyd(t *testing.T) {
	t.Parallel()
	t.Run("public client", pushedByPublic)
	t.Run("with a key, DPoP and TLS", pushedWithKey)
}

// withPushed is a plugin that takes nothing but pushed requests.
func withPushed(more map[string]any) map[string]any {
	plugin := map[string]any{
		"oauth-par-allowed": true, "oauth-par-required": true, "oauth-par-request_uri-prefix": "urn:ietf:params:oauth:request_uri:", "oauth-par-duration": 60,
	}
	maps.Copy(plugin, more)
	return plugin
}

// checkReference fails if the browser carried more than a reference.
func checkReference(t *testing.T, shown string) {
	t.Helper()
	if !strings.Contains(shown, "request_uri=urn") || strings.Contains(shown, "code_challenge") {
		t.Errorf("the browser carries more than a reference:\n%s", shown)
	}
}

func pushedByPublic(t *testing.T) {
	t.Parallel()
	g := startGlewlwyd(t, glewlwydOptions{plugin: withPushed(nil)})
	redirect := g.native(nil)
	m := newMachineAtGlewlwyd(t, g)
	checkReference(t, g.login(m, "", "--redirect-uri", redirect))
	if said := g.introspect(m.ok("token", "work")); !said.Active || said.Username != "ada" {
		t.Errorf("the server says of the token: %+v", said)
	}
}

// All at once, as FAPI 2.0 has it. glewlwyd wants a JWT at each of its endpoints that
// is for this very endpoint.
func pushedWithKey(t *testing.T) {
	t.Parallel()
	id := newIdentity(t, nil, &x509.Certificate{})
	_, file := id.write(t, t.TempDir(), "fob")
	g := startGlewlwyd(t, glewlwydOptions{tls: newPKI(t), plugin: withPushed(map[string]any{"oauth-dpop-nonce-mandatory": true, "oauth-dpop-nonce-counter": 3})})
	redirect := g.native(map[string]any{"confidential": true, "token_endpoint_auth_method": []string{"private_key_jwt"}, "pubkey": publicPEM(t, id.key)})
	m := newMachineAtGlewlwyd(t, g)
	checkReference(t, g.login(m, "", "--redirect-uri", redirect, "--ca-file", g.tls.CA, "--private-key-file", file, "--client-assertion-audience", "endpoint", "--dpop"))
	token := m.ok("token", "work", "--force-refresh")
	if said := g.introspect(token); !said.Active || said.Username != "ada" || said.ClientID != "fob-e2e" || said.Confirmation.Thumbprint == "" {
		t.Errorf("the server says of the token: %+v", said)
	}
	if r := m.fob("", "logout", "work"); r.status != 0 || g.introspect(token).Active || slices.Contains(g.refreshTokens(), true) {
		t.Errorf("logout: exit status %d\n%s\n%s", r.status, r.stderr, g.log())
	}
}

func TestFlowResourceIndicators_RFC8707_Glewlwyd(t *testing.T) {
	t.Parallel()
	g := startGlewlwyd(t, glewlwydOptions{})
	redirect := g.native(nil)
	m := newMachineAtGlewlwyd(t, g)
	g.login(m, "", "--redirect-uri", redirect, "--resource", theAPI, "--scope", "openid email read")
	if said := g.introspect(m.ok("token", "work")); !said.Active || said.Audience != theAPI {
		t.Errorf("the server says of the token: %+v", said)
	}
	if said := g.introspect(m.ok("token", "work", "--resource", theAPI, "--force-refresh")); !said.Active || said.Audience != theAPI {
		t.Errorf("the server says of the refreshed token: %+v", said)
	}
	if r := m.fob("", "token", "work", "--resource", "https://other.example.com/"); r.status == 0 || !strings.Contains(r.stderr, "invalid_target") {
		t.Errorf("another API: %d\n%s", r.status, r.stderr)
	}
}

func TestFlowDPoP_RFC9449_Glewlwyd(t *testing.T) {
	t.Parallel()
	g := startGlewlwyd(t, glewlwydOptions{plugin: map[string]any{"oauth-dpop-nonce-mandatory": true, "oauth-dpop-nonce-counter": 3}})
	redirect := g.native(nil)
	m := newMachineAtGlewlwyd(t, g)
	// Without openid, the name comes from userinfo: that wants a proof too, with a nonce.
	if shown := g.login(m, "", "--redirect-uri", redirect, "--scope", "profile email", "--dpop"); !strings.Contains(shown, "as Ada Lovelace <ada@example.com>") {
		t.Errorf("fob says\n%s", shown)
	}
	token := strings.TrimSpace(m.ok("token", "work", "--force-refresh"))
	if said := g.introspect(token); !said.Active || said.Confirmation.Thumbprint == "" {
		t.Errorf("the server says of the token: %+v", said)
	}
	// The token is good with a fresh proof that has the nonce, and with nothing else.
	if _, resp := g.userinfo(http.Header{"Authorization": {"Bearer " + token}}); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("as a bearer's token: %s", resp.Status)
	}
	_, resp := g.userinfo(m.proof(g))
	nonce := resp.Header.Get("DPoP-Nonce")
	if resp.StatusCode != http.StatusUnauthorized || nonce == "" {
		t.Fatalf("without a nonce: %s", resp.Status)
	}
	proof := m.proof(g, "--dpop-nonce", nonce)
	if info, resp := g.userinfo(proof); resp.StatusCode != http.StatusOK || !strings.Contains(info, "ada@example.com") {
		t.Errorf("with a proof: %s: %s\n%s", resp.Status, info, g.log())
	}
	if _, resp := g.userinfo(proof); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the same proof again: %s", resp.Status)
	}
}

// proof is what fob gives for one request of userinfo.
func (m *machine) proof(g *glewlwyd, args ...string) http.Header {
	m.t.Helper()
	header := http.Header{}
	for line := range strings.Lines(m.ok(append([]string{"token", "work", "--dpop", "GET", g.issuer + "/userinfo"}, args...)...)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		header.Set(name, value)
	}
	return header
}

// userinfo calls the userinfo endpoint, as a resource that wants a token.
func (g *glewlwyd) userinfo(header http.Header) (string, *http.Response) {
	g.t.Helper()
	req, err := http.NewRequest(http.MethodGet, g.issuer+"/userinfo", nil)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header = header
	resp, err := (&http.Client{Transport: g.admin.Transport}).Do(req)
	text, err := read(resp, err)
	if err != nil {
		g.t.Fatal(err)
	}
	return text, resp
}

func TestFlowUserinfo_OIDC_Glewlwyd(t *testing.T) {
	t.Parallel()
	g := startGlewlwyd(t, glewlwydOptions{})
	redirect := g.native(nil)
	m := newMachineAtGlewlwyd(t, g)
	// Without openid there is no id_token: the name can come from userinfo alone.
	shown := g.login(m, "", "--redirect-uri", redirect, "--scope", "profile email read")
	if !strings.Contains(shown, "Logged in to work as Ada Lovelace <ada@example.com>") {
		t.Errorf("fob says\n%s", shown)
	}
	token := m.ok("token", "work")
	if info, resp := g.userinfo(http.Header{"Authorization": {"Bearer " + strings.TrimSpace(token)}}); resp.StatusCode != http.StatusOK || !strings.Contains(info, "ada@example.com") {
		t.Errorf("userinfo: %s %s", resp.Status, info)
	}
	// A token that a user brings is shown to userinfo before it is kept.
	if r := m.fob(token, "login", "given", "--issuer", g.issuer, "--client-id", "fob-e2e", "--with-token"); r.status != 0 {
		t.Errorf("the token given: %d\n%s", r.status, r.stderr)
	}
	if r := m.fob("no-token\n", "login", "wrong", "--issuer", g.issuer, "--client-id", "fob-e2e", "--with-token"); r.status != 1 || !strings.Contains(r.stderr, "refused by the userinfo endpoint") {
		t.Errorf("no token given: %d\n%s", r.status, r.stderr)
	}
}

func TestFlowRevocation_RFC7009_Glewlwyd(t *testing.T) {
	t.Parallel()
	g := startGlewlwyd(t, glewlwydOptions{})
	redirect := g.native(map[string]any{"confidential": true, "client_secret": longSecret})
	m := newMachineAtGlewlwyd(t, g)
	g.login(m, longSecret, "--redirect-uri", redirect, "--client-secret-stdin")
	token := m.ok("token", "work")
	if r := m.fob("", "logout", "work"); r.status != 0 || !strings.Contains(r.stderr, "refresh token revoked") || !strings.Contains(r.stderr, "access token revoked") {
		t.Errorf("logout: %d\n%s\n%s", r.status, r.stderr, g.log())
	}
	if g.introspect(token).Active || slices.Contains(g.refreshTokens(), true) {
		t.Error("a token is good after the logout")
	}
}

func TestFlowRegistration_RFC7591_RFC7592_Glewlwyd(t *testing.T) {
	t.Parallel()
	g := startGlewlwyd(t, glewlwydOptions{plugin: map[string]any{"register-client-allowed": true, "register-client-management-allowed": true}})
	redirect := fmt.Sprintf("http://127.0.0.1:%d/callback/{issuer}", freePort(t))
	m := newMachineAtGlewlwyd(t, g)
	r := m.fob("", "login", "work", "--issuer", g.issuer, "--redirect-uri", redirect)
	if r.status != 0 || !strings.Contains(r.stderr, "Registered fob as a client") {
		t.Fatalf("exit status %d\n%s\n%s", r.status, r.stderr, g.log())
	}
	said := g.introspect(m.ok("token", "work", "--force-refresh"))
	if !said.Active || said.Username != "ada" || said.ClientID == "" {
		t.Errorf("the server says of the token: %+v", said)
	}
	if !g.enabled(said.ClientID) {
		t.Error("the server does not know the registered client")
	}
	r = m.fob("", "logout", "work", "--unregister")
	if r.status != 0 || !strings.Contains(r.stderr, "client registration removed") || slices.Contains(g.refreshTokens(), true) || g.enabled(said.ClientID) {
		t.Errorf("logout: %d\n%s\n%s", r.status, r.stderr, g.log())
	}
}

// enabled asks the administrator's API about a client.
func (g *glewlwyd) enabled(client string) bool {
	g.t.Helper()
	text, err := read(g.admin.Get(g.url + "/api/client/" + url.PathEscape(client)))
	var answer struct{ Enabled bool }
	if err != nil || json.Unmarshal([]byte(text), &answer) != nil {
		g.t.Fatalf("client %s: %q, %v", client, text, err)
	}
	return answer.Enabled
}
