package e2e

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestFlowClientCredentials_RFC6749_RFC8707_OIDCProvider(t *testing.T) {
	eachWay(t, providerOptions{AccessTokenSeconds: 5}, []string{overHTTP, overTLS}, func(f *flow) {
		args := f.loginArgs("svc", "--client-id", "fob-machine", "--grant", "client_credentials", "--client-secret-stdin",
			"--resource", "https://api.example.com/two", "--scope", "read")
		if r := f.m.fob("e2e +%: secret of sufficient length\n", args...); r.status != 0 {
			f.Fatalf("exit status %d\n%s", r.status, r.stderr)
		}
		first, known := f.token("svc")
		if known.ClientID != "fob-machine" || known.Subject != "" || known.Scope != "read" || known.Audience != "https://api.example.com/two" {
			f.Errorf("the server says of the token %+v", known)
		}
		if again, _ := f.token("svc"); again != first || f.p.count("client_credentials") != 1 {
			f.Errorf("%d requests for one token", f.p.count("client_credentials"))
		}
		if fresh, known := f.token("svc", "--force-refresh"); fresh == first || known.Audience != "https://api.example.com/two" || f.p.count("client_credentials") != 2 {
			f.Errorf("%d requests for two tokens, the server says of the second %+v", f.p.count("client_credentials"), known)
		}
		if r := f.m.fob("", "logout", "svc"); r.status != 0 {
			f.Errorf("exit status %d\n%s", r.status, r.stderr)
		}
		wrong := f.m.fob("wrong", f.loginArgs("other", "--client-id", "fob-machine", "--grant", "client_credentials", "--client-secret-stdin")...)
		if wrong.status != 1 || !strings.Contains(wrong.stderr, "invalid_client") {
			f.Errorf("with a wrong secret: exit status %d\n%s", wrong.status, wrong.stderr)
		}
	})
}

// keyed is a client that is known by its public key alone.
func keyed(name string, jwk map[string]any, grants ...string) map[string]any {
	client := map[string]any{"client_id": name, "token_endpoint_auth_method": "private_key_jwt", "jwks": map[string]any{"keys": []any{jwk}}}
	if grants != nil {
		client["grant_types"] = grants
	}
	return client
}

// keyFile writes a private key as PEM, and its JWK.
func keyFile(t testing.TB) (path string, public map[string]any, private string) {
	t.Helper()
	text := privateKey(t)
	path = filepath.Join(t.TempDir(), "client-key.pem")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(text))
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key := parsed.(*ecdsa.PrivateKey)
	d, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	jwk := publicJWK(key)
	jwk["d"] = base64.RawURLEncoding.EncodeToString(d)
	with, err := json.Marshal(jwk)
	if err != nil {
		t.Fatal(err)
	}
	return path, publicJWK(key), string(with)
}

func TestFlowPrivateKeyJWT_RFC7523_RFC6749_OIDC_OIDCProvider(t *testing.T) {
	path, public, private := keyFile(t)
	stranger, _, _ := keyFile(t)
	options := providerOptions{RequirePushed: true, Clients: []map[string]any{keyed("machine-key", public, "client_credentials"), keyed("person-key", public)}}
	eachWay(t, options, []string{overHTTP, overTLS}, func(f *flow) {
		// The key stays in its file, or is sealed with the login.
		f.login("svc", "--client-id", "machine-key", "--grant", "client_credentials", "--private-key-file", path)
		for range 2 { // an assertion serves once
			if _, known := f.token("svc", "--force-refresh"); known.ClientID != "machine-key" {
				f.Errorf("the server says of the token %+v", known)
			}
		}
		// A person's login of such a client: the push, the code, the refresh and the
		// revocation each prove it.
		if r := f.m.fob(private, f.loginArgs("work", "--client-id", "person-key", "--private-key-stdin")...); r.status != 0 {
			f.Fatalf("exit status %d\n%s", r.status, r.stderr)
		}
		if _, known := f.token("work", "--force-refresh"); known.ClientID != "person-key" || known.Subject != "ada" {
			f.Errorf("the server says of the token %+v", known)
		}
		if r := f.m.fob("", "logout", "work"); r.status != 0 || f.p.count("revoked") == 0 {
			f.Errorf("exit status %d\n%s", r.status, r.stderr)
		}
		f.refused(1, "invalid_client", f.loginArgs("other", "--client-id", "machine-key", "--grant", "client_credentials", "--private-key-file", stranger)...)
	})
}

func TestFlowClientSecretJWT_RFC7523_OIDC_OIDCProvider(t *testing.T) {
	const secret = "a secret +%: of thirty-two bytes or more"
	options := providerOptions{Clients: []map[string]any{
		{"client_id": "machine-jwt", "client_secret": secret, "token_endpoint_auth_method": "client_secret_jwt", "grant_types": []string{"client_credentials"}},
		{"client_id": "person-jwt", "client_secret": secret, "token_endpoint_auth_method": "client_secret_jwt"},
	}}
	eachWay(t, options, []string{overHTTP, overTLS}, func(f *flow) {
		for profile, flags := range map[string][]string{"svc": {"--client-id", "machine-jwt", "--grant", "client_credentials"}, "work": {"--client-id", "person-jwt"}} {
			args := f.loginArgs(profile, append(flags, "--token-endpoint-auth-method", "client_secret_jwt", "--client-secret-stdin")...)
			if r := f.m.fob(secret, args...); r.status != 0 {
				f.Fatalf("exit status %d\n%s", r.status, r.stderr)
			}
			if _, known := f.token(profile, "--force-refresh"); known.ClientID != flags[1] {
				f.Errorf("the server says of the token %+v", known)
			}
		}
		wrong := f.m.fob(strings.ToUpper(secret), f.loginArgs("other", "--client-id", "machine-jwt", "--grant", "client_credentials",
			"--token-endpoint-auth-method", "client_secret_jwt", "--client-secret-stdin")...)
		if wrong.status != 1 || !strings.Contains(wrong.stderr, "invalid_client") {
			f.Errorf("with a wrong secret: exit status %d\n%s", wrong.status, wrong.stderr)
		}
	})
}

// A client that shows a certificate has endpoints of its own, and its tokens are bound
// to the certificate.
func TestFlowMutualTLS_RFC8705_OIDCProvider(t *testing.T) {
	t.Parallel()
	pki := newPKI(t)
	signed, signedCert, signedKey := pki.certified(t, "signed", false)
	own, ownCert, ownKey := pki.certified(t, "own", true)
	stranger, strangerCert, strangerKey := pki.certified(t, "stranger", false)
	grants := []string{"client_credentials"}
	f := newFlow(t, providerOptions{TLS: pki, Clients: []map[string]any{
		{"client_id": "signed", "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": "CN=signed", "grant_types": grants, "tls_client_certificate_bound_access_tokens": true},
		{"client_id": "own", "token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": map[string]any{"keys": []any{own.jwk()}}, "grant_types": grants, "tls_client_certificate_bound_access_tokens": true},
		{"client_id": "person", "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": "CN=signed", "tls_client_certificate_bound_access_tokens": true},
		{"client_id": "bound", "token_endpoint_auth_method": "none", "tls_client_certificate_bound_access_tokens": true},
	}}, overTLS)

	for _, client := range []struct {
		name, method, cert, key string
		id                      *identity
		flags                   []string
	}{
		{"signed", "tls_client_auth", signedCert, signedKey, signed, []string{"--grant", "client_credentials"}},
		{"own", "self_signed_tls_client_auth", ownCert, ownKey, own, []string{"--grant", "client_credentials"}},
		{"person", "tls_client_auth", signedCert, signedKey, signed, nil},
		{"bound", "none", signedCert, signedKey, signed, nil}, // a person's login (RFC 8705 §4)
	} {
		flags := append([]string{"--client-id", client.name, "--certificate-file", client.cert, "--certificate-key-file", client.key, "--token-endpoint-auth-method", client.method}, client.flags...)
		f.login(client.name, flags...)
		f.m.ok("logout", client.name)
		f.login(client.name) // the profile knows the rest
		if _, known := f.token(client.name, "--force-refresh"); known.ClientID != client.name || known.Confirmation.Certificate != client.id.thumbprint() {
			t.Errorf("%s: the server says of the token %+v", client.name, known)
		}
	}
	f.refused(1, "invalid_client", f.loginArgs("other", "--client-id", "signed", "--grant", "client_credentials", "--certificate-file", strangerCert, "--certificate-key-file", strangerKey)...)

	// So does a device's login of such a client.
	d := f.device("person")
	f.enter(f.p.issuer+"/device", d.userCode, "", "Sign-in Success")
	if r := d.login.end(); r.status != 0 {
		t.Errorf("exit status %d\n%s%s", r.status, r.stderr, f.p.refusals())
	}
	if _, known := f.token("person"); known.ClientID != "person" || known.Confirmation.Certificate != signed.thumbprint() {
		t.Errorf("the server says of the token %+v", known)
	}

	// The port without mutual TLS has seen nothing that proves a client.
	issuer, err := url.Parse(f.p.issuer)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range f.p.seen() {
		if strings.HasPrefix(e.Path, "POST ") && issuer.Port() == strconv.Itoa(e.Port) {
			t.Errorf("%s went to the port for clients without a certificate", e.Path)
		}
	}
	// Nobody else can use such a token.
	token, _ := f.token("bound")
	for _, try := range []struct {
		hc   *http.Client
		want int
	}{{pki.showing(signed), http.StatusOK}, {pki.showing(stranger), http.StatusUnauthorized}, {pki.client(), http.StatusUnauthorized}} {
		req, err := http.NewRequest("GET", f.aliases().Userinfo, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := try.hc.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if _ = resp.Body.Close(); resp.StatusCode != try.want {
			t.Errorf("userinfo answers %s, not %d", resp.Status, try.want)
		}
	}
}

// aliases are the provider's endpoints for clients with a certificate (RFC 8705 §5).
func (f *flow) aliases() (a struct {
	Userinfo string `json:"userinfo_endpoint"`
}) {
	f.Helper()
	text, err := read(f.p.client().Get(f.p.issuer + "/.well-known/openid-configuration"))
	if err != nil {
		f.Fatal(err)
	}
	metadata := struct {
		Aliases any `json:"mtls_endpoint_aliases"`
	}{&a}
	if err := json.Unmarshal([]byte(text), &metadata); err != nil || a.Userinfo == "" {
		f.Fatalf("%v: %s", err, text)
	}
	return a
}

// inJob makes the machine one on which a job of GitHub's runs.
func (f *flow) inJob() {
	f.m.env = append(f.m.env, "GITHUB_ACTIONS=true", "ACTIONS_ID_TOKEN_REQUEST_URL="+f.p.issuer+"/ci/identity?api-version=2.0", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=TEST-REQUEST-TOKEN")
}

// jobIdentity is what the CI system says of a job, for an audience.
func (f *flow) jobIdentity(audience string) string {
	f.Helper()
	status, _, body := f.p.get("GET", f.p.issuer+"/ci/identity?audience="+url.QueryEscape(audience), "Authorization: bearer TEST-REQUEST-TOKEN")
	var answer struct{ Value string }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusOK {
		f.Fatalf("the CI says %d %s", status, body)
	}
	return answer.Value
}

const jobSubject = "repo:acme/app:ref:refs/heads/main"

func TestFlowTokenExchange_RFC8693_OIDCProvider(t *testing.T) {
	eachWay(t, providerOptions{}, []string{overHTTP, overTLS}, func(f *flow) {
		f.login("ci", "--client-id", "fob-ci", "--grant", "token-exchange", "--identity", "github", "--resource", "https://api.example.com/two", "--scope", "read")
		f.refused(1, "may not ask", "token", "ci") // outside of a job
		f.inJob()
		if _, known := f.token("ci"); known.Subject != jobSubject || known.ClientID != "fob-ci" || known.Audience != "https://api.example.com/two" || known.Scope != "read" {
			f.Errorf("the server says of the token %+v", known)
		}
		f.token("ci")
		if f.p.requests("GET /ci/identity") != 2 || f.p.count("urn:ietf:params:oauth:grant-type:token-exchange") != 2 {
			f.Error("something was kept of the first token")
		}
		for _, folder := range []string{".local/share/fob", ".cache/fob"} {
			if _, err := os.Stat(filepath.Join(f.m.home, folder)); err == nil {
				f.Errorf("%s was made", folder)
			}
		}
		f.otherIdentities("token-exchange")
	})
}

func TestFlowJWTBearer_RFC7523_OIDCProvider(t *testing.T) {
	eachWay(t, providerOptions{}, []string{overHTTP, overTLS}, func(f *flow) {
		f.login("ci", "--client-id", "fob-ci", "--grant", "jwt-bearer", "--identity", "github")
		f.inJob()
		if _, known := f.token("ci", "--mask"); known.Subject != jobSubject || f.p.count("urn:ietf:params:oauth:grant-type:jwt-bearer") != 1 {
			f.Errorf("the server says of the token %+v", known)
		}
		f.otherIdentities("jwt-bearer")
	})
}

// otherIdentities has the identity come from elsewhere, and be somebody else's.
func (f *flow) otherIdentities(grant string) {
	f.Helper()
	file := filepath.Join(f.TempDir(), "identity")
	if err := os.WriteFile(file, []byte(f.jobIdentity(f.p.issuer)+"\n"), 0o600); err != nil {
		f.Fatal(err)
	}
	f.m.env = append(f.m.env, "MY_IDENTITY="+f.jobIdentity(f.p.issuer), "FOB_ID_TOKEN="+f.jobIdentity(f.p.issuer), "ELSEWHERE="+f.jobIdentity("https://other.example"))
	for profile, source := range map[string]string{"variable": "env:MY_IDENTITY", "file": "file:" + file, "lab": "gitlab"} {
		f.login(profile, "--client-id", "fob-ci", "--grant", grant, "--identity", source)
		if _, known := f.token(profile); known.Subject != jobSubject {
			f.Errorf("%s: the server says of the token %+v", source, known)
		}
	}
	f.login("elsewhere", "--client-id", "fob-ci", "--grant", grant, "--identity", "env:ELSEWHERE")
	f.refused(1, "is for another server", "token", "elsewhere") // it is not sent
	f.login("misled", "--client-id", "fob-ci", "--grant", grant, "--identity", "env:ELSEWHERE", "--identity-audience", "https://other.example")
	f.refused(1, "invalid_grant", "token", "misled")
	f.m.env = append(f.m.env, "MY_IDENTITY="+f.jobIdentity(f.p.issuer)+"x")
	f.refused(1, "invalid_grant", "token", "variable")
}
