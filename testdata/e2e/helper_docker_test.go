package e2e

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// dockerAuth is the token server that a registry sends its clients to. It knows the
// issuer's tokens, as passwords and as identity tokens.
type dockerAuth struct {
	*httptest.Server
	issuer *issuer
	signer *identity

	mu     sync.Mutex // guards what follows
	shown  []string   // how each token came: its username, or refresh_token
	barred bool       // refuse all
}

func startDockerAuth(t *testing.T, i *issuer) *dockerAuth {
	t.Helper()
	s := &dockerAuth{issuer: i}
	s.signer = newIdentity(t, nil, &x509.Certificate{
		Subject: pkix.Name{CommonName: "e2e"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	})
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *dockerAuth) serve(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	how, token, _ := r.BasicAuth()
	if r.Form.Get("grant_type") == "refresh_token" {
		how, token = "refresh_token", r.Form.Get("refresh_token")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.issuer.origin(token); err != nil || s.barred {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	s.shown = append(s.shown, how)
	for _, scope := range r.Form["scope"] {
		kind, rest, _ := strings.Cut(scope, ":")
		repository, actions, _ := strings.Cut(rest, ":")
		signed := s.sign(r.Form.Get("service"), map[string]any{"type": kind, "name": repository, "actions": strings.Split(actions, ",")})
		_ = json.NewEncoder(w).Encode(map[string]string{"token": signed, "access_token": signed})
		return
	}
	signed := s.sign(r.Form.Get("service"))
	_ = json.NewEncoder(w).Encode(map[string]string{"token": signed, "access_token": signed})
}

// sign makes the token that the registry takes: a JWT with the certificate in it.
func (s *dockerAuth) sign(service string, access ...map[string]any) string {
	encode := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	now := time.Now().Unix()
	head := map[string]any{"typ": "JWT", "alg": "ES256", "x5c": []string{base64.StdEncoding.EncodeToString(s.signer.cert.Raw)}}
	claims := map[string]any{"iss": "e2e", "sub": "ada", "aud": service, "iat": now, "nbf": now - 60, "exp": now + 300, "jti": fmt.Sprint(now), "access": access}
	signed := encode(head) + "." + encode(claims)
	sum := sha256.Sum256([]byte(signed))
	rInt, sInt, err := ecdsa.Sign(rand.Reader, s.signer.key, sum[:])
	if err != nil {
		panic(err)
	}
	signature := make([]byte, 64)
	rInt.FillBytes(signature[:32])
	sInt.FillBytes(signature[32:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// how is in which ways tokens were shown since the last call.
func (s *dockerAuth) how() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ways := make(map[string]bool)
	for _, way := range s.shown {
		ways[way] = true
	}
	s.shown = nil
	return fmt.Sprint(ways)
}

func (s *dockerAuth) bar(barred bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.barred = barred
}

// startRegistry runs Debian's docker-registry, which trusts the token server.
func startRegistry(t *testing.T, auth *dockerAuth) (host string) {
	t.Helper()
	dir := t.TempDir()
	cert, _ := auth.signer.write(t, dir, "signer")
	host = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	config := fmt.Sprintf(`version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: %s}}
http: {addr: %s}
auth: {token: {realm: %s/token, service: e2e, issuer: e2e, rootcertbundle: %s}}
`, dir, host, strings.Replace(auth.URL, "127.0.0.1", "localhost", 1), cert) // clients refuse an IP address that is not public
	path := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	registry := exec.Command("docker-registry", "serve", path)
	registry.Stderr = os.Stderr
	if err := registry.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = registry.Process.Kill()
		_ = registry.Wait()
	})
	eventually(t, func() error {
		_, err := statusOf("http://" + host + "/v2/")
		return err
	})
	return host
}

// TestDockerPushesAndPulls has no docker engine: the client is that of crane and ko,
// which finds docker-credential-fob as docker does.
func TestDockerPushesAndPulls(t *testing.T) {
	i := startIssuer(t)
	auth := startDockerAuth(t, i)
	host := startRegistry(t, auth)
	m := newMachineAt(t, sealed...)
	m.ok("login", "work", "--issuer", i.url, "--client-id", "fob-test", "--docker-registry", host)

	bin, settings := t.TempDir(), t.TempDir()
	if err := os.Symlink(fob, filepath.Join(bin, "docker-credential-fob")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(settings, "config.json"), []byte(`{"credHelpers": {"`+host+`": "fob", "ghcr.io": "fob"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, variable := range m.env { // the helper is a child of this process
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("DOCKER_CONFIG", settings)

	reference, err := name.ParseReference(host + "/team/hello:latest")
	if err != nil {
		t.Fatal(err)
	}
	image, err := random.Image(1024, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(reference, image); err == nil {
		t.Fatal("the registry lets everybody in")
	}
	keychain := remote.WithAuthFromKeychain(authn.DefaultKeychain)
	if err := remote.Write(reference, image, keychain); err != nil {
		t.Fatal(err)
	}
	if how := auth.how(); how != "map[oauth2:true]" {
		t.Errorf("the token was shown so: %s", how)
	}

	// As an identity token, which the client takes to the token server as a refresh token.
	m.ok("profile", "set", "work", "--docker-username", "<token>")
	pulled, err := remote.Image(reference, keychain)
	if err != nil {
		t.Fatal(err)
	}
	wanted, _ := image.Digest()
	if got, err := pulled.Digest(); err != nil || got != wanted {
		t.Errorf("pulled %s, %v", got, err)
	}
	if how := auth.how(); how != "map[refresh_token:true]" {
		t.Errorf("the token was shown so: %s", how)
	}

	// A registry that no profile names is asked without a credential, as docker does.
	other, err := name.NewRegistry("ghcr.io")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := authn.DefaultKeychain.Resolve(other); err != nil || got != authn.Anonymous {
		t.Errorf("for another registry: %v, %v", got, err)
	}

	// A token that the server refuses is forgotten by erase; the next one is fresh.
	auth.bar(true)
	if _, err := remote.Image(reference, keychain); err == nil {
		t.Error("the token server was not asked")
	}
	auth.bar(false)
	erase := exec.Command("docker-credential-fob", "erase")
	erase.Stdin = strings.NewReader(host)
	if out, err := erase.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := remote.Image(reference, keychain); err != nil || i.count("token/refresh") != 1 {
		t.Errorf("%v, %d refreshes", err, i.count("token/refresh"))
	}

	// Without a login it is an error, and not an anonymous request.
	m.ok("logout", "work")
	if _, err := remote.Image(reference, keychain); err == nil || !strings.Contains(err.Error(), "error getting credentials") {
		t.Errorf("without a login: %v", err)
	}
}
