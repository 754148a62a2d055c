package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// glewlwyd is a running authorization server of another make: Debian's glewlwyd,
// in C, with a database, a port and a folder of its own.
type glewlwyd struct {
	t      testing.TB
	url    string
	issuer string
	dir    string
	tls    *pki // nil: plain HTTP
	admin  *http.Client
}

// glewlwydOptions say how one differs from the usual.
type glewlwydOptions struct {
	tls    *pki
	plugin map[string]any // parameters of its OpenID Connect plugin, over the usual ones
}

const (
	glewlwydSchema  = "/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"
	glewlwydModules = "/usr/lib/glewlwyd"
	glewlwydConfig  = `port=%[1]d
bind_address="127.0.0.1"
external_url="%[2]s"
api_prefix="api"
login_url="login.html"
static_files_path="/usr/share/glewlwyd/webapp/"
log_mode="file"
log_level="DEBUG"
log_file="%[3]s/log"
cookie_same_site="empty"
session_key="GLEWLWYD2_SESSION_ID"
admin_session_authentication="cookie"
profile_session_authentication="cookie"
login_api_enabled=true
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="%[4]s/user"
user_middleware_module_path="%[4]s/user_middleware"
client_module_path="%[4]s/client"
user_auth_scheme_module_path="%[4]s/scheme"
plugin_module_path="%[4]s/plugin"
hash_algorithm="SHA256"
use_secure_connection=%[5]t
secure_connection_key_file="%[6]s"
secure_connection_pem_file="%[7]s"
secure_connection_ca_file="%[8]s"
database={ type="sqlite3"; path="%[3]s/db" };
`
	// glewlwydLeashed runs it until stdin ends, as it also does when a test is killed.
	glewlwydLeashed = `exec 3<&0; (cat <&3; kill -KILL $$) & exec glewlwyd --config-file="$1" 3<&- </dev/null`
)

// startGlewlwyd runs one with the user ada and the client checker, which looks at
// tokens for the tests.
func startGlewlwyd(t testing.TB, options glewlwydOptions) *glewlwyd {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	g := &glewlwyd{t: t, tls: options.tls, dir: t.TempDir(), admin: &http.Client{Transport: options.tls.client().Transport, Jar: jar, Timeout: 10 * time.Second}}
	g.makeDatabase()
	for range 5 { // another process may have taken the port that was free
		if g.run() {
			g.setUp(options.plugin)
			return g
		}
	}
	t.Fatalf("glewlwyd does not start:\n%s", g.log())
	return nil
}

// makeDatabase makes an empty one from the package's script.
func (g *glewlwyd) makeDatabase() {
	g.t.Helper()
	schema, err := os.Open(glewlwydSchema)
	if err != nil {
		g.t.Fatal("glewlwyd is not installed, see testdata/setup.sh: ", err)
	}
	defer schema.Close()
	sqlite := exec.Command("sqlite3", "-bail", filepath.Join(g.dir, "db"))
	sqlite.Stdin = io.MultiReader(strings.NewReader("PRAGMA synchronous=OFF; BEGIN;\n"), schema, strings.NewReader("\nCOMMIT;\n"))
	if out, err := sqlite.CombinedOutput(); err != nil {
		g.t.Fatalf("%v: %s", err, out)
	}
}

// run starts the server on a free port, and waits until it answers.
func (g *glewlwyd) run() bool {
	g.t.Helper()
	scheme, files := "http", pki{}
	if g.tls != nil {
		scheme, files = "https", *g.tls
	}
	port := freePort(g.t)
	g.url = fmt.Sprintf("%s://127.0.0.1:%d", scheme, port)
	g.issuer = g.url + "/api/oidc"
	config := filepath.Join(g.dir, "conf")
	g.write(config, fmt.Sprintf(glewlwydConfig, port, g.url, g.dir, glewlwydModules, g.tls != nil, files.Key, files.Cert, files.CA))
	server := exec.Command("sh", "-c", glewlwydLeashed, "sh", config)
	leash, err := server.StdinPipe()
	if err != nil {
		g.t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		g.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = server.Wait()
		close(ended)
	}()
	g.t.Cleanup(func() {
		_ = leash.Close()
		<-ended
	})
	answers := false
	eventually(g.t, func() error {
		resp, err := g.admin.Get(g.url + "/config")
		if err == nil {
			_ = resp.Body.Close()
			answers = true
			return nil
		}
		select {
		case <-ended:
			return nil
		default:
			return fmt.Errorf("%w\n%s", err, g.log())
		}
	})
	return answers
}

// Ports are given out in turn, from a random one on: no test gets one that another
// has been given and does not listen on yet, and hardly ever one of another process.
var (
	firstPort  = mathrand.Int32N(20000)
	portsGiven atomic.Int32
)

// freePort is below those that the system gives to connections, so that it stays
// free until it is used.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 10000 + (firstPort+portsGiven.Add(1))%20000
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = l.Close()
			return int(port)
		}
	}
	t.Fatal("there is no free port")
	return 0
}

func (g *glewlwyd) write(path, text string) {
	g.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
}

// log is the end of what the server has to say.
func (g *glewlwyd) log() string {
	text, err := os.ReadFile(filepath.Join(g.dir, "log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.SplitAfter(string(text), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "")
}

// glewlwydScopes are those that Ada has. The API wants read.
var glewlwydScopes = []string{"openid", "profile", "email", "read", "write"}

const (
	theAPI       = "https://api.example.com/"
	adasPassword = "correct horse"
)

// setUp makes users, scopes and the OpenID provider, as its administrator does.
func (g *glewlwyd) setUp(over map[string]any) {
	g.t.Helper()
	g.call(http.MethodPost, "auth/", map[string]any{"username": "admin", "password": "password"})
	for _, scope := range append([]string{"inspect"}, glewlwydScopes[1:]...) { // openid is there
		g.call(http.MethodPost, "scope/", map[string]any{"name": scope, "display_name": scope, "password_required": false})
	}
	g.call(http.MethodPost, "user/", map[string]any{
		"username": "ada", "password": adasPassword, "name": "Ada Lovelace", "email": "ada@example.com", "enabled": true, "scope": glewlwydScopes,
	})
	private, public := newSigningKey(g.t)
	plugin := map[string]any{
		"iss": g.issuer, "jwt-type": "ecdsa", "jwt-key-size": "256", "key": private, "cert": public, "jwks-show": true,
		"access-token-duration": 3600, "refresh-token-duration": 86400, "code-duration": 60, "refresh-token-rolling": true, "refresh-token-one-use": "always",
		"allow-non-oidc": true, "auth-type-code-enabled": true, "auth-type-code-revoke-replayed": true, "auth-type-token-enabled": false,
		"auth-type-password-enabled": false, "auth-type-client-enabled": true, "auth-type-refresh-enabled": true, "auth-type-device-enabled": true,
		"device-authorization-expiration": 60, "device-authorization-interval": 1,
		"allowed-scope": glewlwydScopes, "subject-type": "public", "name-claim": "mandatory", "email-claim": "mandatory", "scope-claim": "no",
		"pkce-allowed": true, "pkce-method-plain-allowed": false, "pkce-required": true,
		"introspection-revocation-allowed": true, "introspection-revocation-allow-target-client": true, "introspection-revocation-auth-scope": []string{"inspect"},
		"request-parameter-allow": true, "request-maximum-exp": 300, "client-pubkey-parameter": "pubkey", "client-jwks-parameter": "jwks",
		"oauth-dpop-allowed": true, "oauth-dpop-iat-duration": 60, "oauth-dpop-iat-gap-duration": 60,
		"resource-allowed": true, "resource-scope": map[string]any{"read": []string{theAPI}},
	}
	maps.Copy(plugin, over)
	g.call(http.MethodPost, "mod/plugin/", map[string]any{"module": "oidc", "name": "oidc", "display_name": "OIDC", "enabled": true, "parameters": plugin})
	g.client("checker", map[string]any{"confidential": true, "client_secret": "look at tokens", "scope": []string{"inspect"}, "authorization_type": []string{"client_credentials"}})
}

// client makes a client.
func (g *glewlwyd) client(id string, properties map[string]any) {
	g.t.Helper()
	client := map[string]any{"client_id": id, "name": id, "confidential": false, "enabled": true, "token_endpoint_auth_method": []string{"client_secret_basic"}}
	maps.Copy(client, properties)
	g.call(http.MethodPost, "client/", client)
}

// call is one call of the administrator.
func (g *glewlwyd) call(method, path string, body any) {
	g.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		g.t.Fatal(err)
	}
	req, err := http.NewRequest(method, g.url+"/api/"+path, bytes.NewReader(text))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := g.admin.Do(req)
	answer, readErr := read(resp, err)
	if readErr != nil || resp.StatusCode != http.StatusOK {
		g.t.Fatalf("%s %s: %v %s\n%s", method, path, readErr, answer, g.log())
	}
}

// newSigningKey makes the key that signs this server's tokens. glewlwyd publishes a
// coordinate without the zero bytes in front, which RFC 7518 §6.2.1.2 wants, and fob
// passes over such a key: it is one in 128, and left out here.
func newSigningKey(t testing.TB) (private, public string) {
	t.Helper()
	var key *ecdsa.PrivateKey
	for key == nil {
		made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		point, err := made.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if x, y := point[1:33], point[33:]; x[0] != 0 && y[0] != 0 {
			key = made
		}
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), publicPEM(t, key)
}

func publicPEM(t testing.TB, key *ecdsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// known is what the server says of a token (RFC 7662 §2.2).
type known struct {
	introspection
	Username string
}

// introspect asks the server about a token, as the client checker.
func (g *glewlwyd) introspect(token string) known {
	g.t.Helper()
	hc := &http.Client{Transport: g.admin.Transport}
	var granted struct {
		AccessToken string `json:"access_token"`
	}
	g.post(hc, "token", url.Values{"grant_type": {"client_credentials"}, "scope": {"inspect"}}, func(r *http.Request) { r.SetBasicAuth("checker", "look at tokens") }, &granted)
	var said known
	g.post(hc, "introspect", url.Values{"token": {strings.TrimSpace(token)}}, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+granted.AccessToken) }, &said)
	if said.Active && said.ClientID == "" { // it says so of a client's own token in the token alone
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
		if err != nil || json.Unmarshal(payload, &said) != nil {
			g.t.Fatalf("the token is no JWT: %v", err)
		}
	}
	return said
}

func (g *glewlwyd) post(hc *http.Client, endpoint string, form url.Values, authenticate func(*http.Request), v any) {
	g.t.Helper()
	req, err := http.NewRequest(http.MethodPost, g.issuer+"/"+endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	authenticate(req)
	text, err := read(hc.Do(req))
	if err != nil || json.Unmarshal([]byte(text), v) != nil {
		g.t.Fatalf("%s: %q, %v", endpoint, text, err)
	}
}
