//go:build unix

package scripttest

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/config"
)

// TestProviders logs in with each preset, at a test issuer in the provider's place:
// its scopes, parameters, redirect and client authentication are those that are sent.
func TestProviders(t *testing.T) {
	server, err := authservertest.Start(authservertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for _, p := range config.Providers() {
		t.Run(p.Name, func(t *testing.T) {
			redirect := config.Profile{Provider: p.Name, Issuer: server.Issuer(), RedirectURI: p.RedirectURI}.Redirect()
			client := authservertest.Client{
				ID: "fob-" + p.Name, AuthMethod: "none",
				Grants:       []string{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"},
				RedirectURIs: []string{strings.Replace(redirect, ":8976", "", 1)},
			}
			args := []string{"login", p.Name, "--provider", p.Name, "--issuer", server.Issuer(), "--client-id", client.ID}
			if p.SecretRequired {
				client.AuthMethod, client.Secret = p.TokenEndpointAuthMethod, authservertest.ClientSecret
				args = append(args, "--client-secret-stdin")
			}
			server.AddClient(client)
			fob := exec.CommandContext(t.Context(), program(t), args...)
			fob.Env = append(os.Environ(), "BROWSER=approve", "GORACE=atexit_sleep_ms=0",
				"FOB_HOME="+t.TempDir(), "FOB_STORAGE=file", "FOB_SEAL_KEY="+strings.Repeat("ab", 32))
			var stderr bytes.Buffer
			fob.Stdin, fob.Stderr = strings.NewReader(client.Secret), &stderr
			if err := fob.Run(); err != nil {
				t.Fatalf("%v\n%s", err, stderr.String())
			}
			if p.Device {
				loginByDevice(t, server, fob)
			}
			q := authorizationQuery(t, stderr.String(), server.Issuer())
			if q.Get("scope") != strings.Join(p.Scopes, " ") {
				t.Errorf("it asks for %q, not %q", q.Get("scope"), p.Scopes)
			}
			for name, want := range p.AuthParams {
				if q.Get(name) != want {
					t.Errorf("%s is %q, not %q", name, q.Get(name), want)
				}
			}
		})
	}
}

// loginByDevice logs in again, with a person at another device.
func loginByDevice(t *testing.T, server *authservertest.Server, before *exec.Cmd) {
	t.Helper()
	fob := exec.CommandContext(t.Context(), before.Path, append(before.Args[1:], "--device")...)
	fob.Env, fob.Stdin = before.Env, strings.NewReader(authservertest.ClientSecret)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go approveDevices(ctx, server)
	if out, err := fob.CombinedOutput(); err != nil {
		t.Errorf("--device: %v\n%s", err, out)
	}
}

// authorizationQuery finds the address that fob shows.
func authorizationQuery(t *testing.T, shown, issuer string) url.Values {
	t.Helper()
	for line := range strings.Lines(shown) {
		if u, err := url.Parse(strings.TrimSpace(line)); err == nil && strings.HasPrefix(u.String(), issuer+"/authorize?") {
			return u.Query()
		}
	}
	t.Fatalf("no authorization URL in\n%s", shown)
	return nil
}
