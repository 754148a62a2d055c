package oauth

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestRegisteredMethod(t *testing.T) {
	for _, test := range []struct{ supported, asked string }{
		{"", AuthNone},
		{"client_secret_post none client_secret_basic", AuthNone},
		{"client_secret_post client_secret_basic private_key_jwt", AuthBasic},
		{"client_secret_post", AuthPost},
		{"private_key_jwt", AuthNone},
	} {
		var asked struct {
			AuthMethod string `json:"token_endpoint_auth_method"`
		}
		client, requests := answering(t, func(w http.ResponseWriter, r *http.Request) {
			if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
				t.Error(err)
			}
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"client_id":"new","client_secret":"its own","token_endpoint_auth_method":"client_secret_basic"}`)
		})
		m := *client.Metadata
		m.RegistrationEndpoint = strings.TrimSuffix(m.TokenEndpoint, "/token") + "/register"
		m.TokenEndpointAuthMethodsSupported = strings.Fields(test.supported)
		registered, err := Register(t.Context(), client.HTTP, &m, "http://127.0.0.1/callback", []string{"authorization_code"})
		if err != nil || asked.AuthMethod != test.asked || requests.Load() != 1 {
			t.Errorf("of %q fob asks for %q, %v", test.supported, asked.AuthMethod, err)
			continue
		}
		if registered.ClientSecret.Reveal() != "its own" || registered.AuthMethod != AuthBasic {
			t.Errorf("of %q: the client is %+v", test.supported, registered)
		}
	}
}

// A hostile server gives out the ID of a client that another server knows, and names
// that one's login page: the code would come to the hostile token endpoint.
func TestA6ARegisteredClientIsNoMixUp(t *testing.T) {
	client, requests := answering(t, text(`{"client_id":"known-to-honest"}`))
	m := *client.Metadata
	m.RegistrationEndpoint = m.TokenEndpoint
	m.AuthorizationEndpoint = "https://honest.example/authorize"
	if _, err := Register(t.Context(), client.HTTP, &m, "http://127.0.0.1/callback", nil); !errors.Is(err, ErrMalformed) || requests.Load() != 0 {
		t.Errorf("A6: %v after %d requests", err, requests.Load())
	}
	m.AuthorizationEndpoint = m.TokenEndpoint
	if _, err := Register(t.Context(), client.HTTP, &m, "http://127.0.0.1/callback", nil); err != nil {
		t.Error(err)
	}
}

func TestSameSite(t *testing.T) {
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{"https://sso.example.com/a", "https://sso.example.com:8443/t", true},
		{"https://mcp.example.com/a", "https://cf.mcp.example.com/t", true},
		{"https://login.example.com/a", "https://API.example.com/t", true},
		{"https://login.acme.co.uk/a", "https://api.acme.co.uk/t", true},
		{"https://login.acme.de/a", "https://api.acme.de/t", true},
		{"https://login.x.io/a", "https://api.x.io/t", true},
		{"https://honest.example/a", "https://evil.test/t", false},
		{"https://example.com/a", "https://example.com.evil.test/t", false},
		{"https://honest.co.uk/a", "https://evil.co.uk/t", false},
		{"https://10.0.0.1/a", "https://192.0.0.1/t", false},
		{"https://co.uk/a", "https://ac.uk/t", false},
		{"https://intranet/a", "https://evil/t", false},
		{"http://127.0.0.1:1/a", "http://127.0.0.1:2/t", true},
	} {
		if got := sameSite(test.a, test.b); got != test.same {
			t.Errorf("%s and %s: %t", test.a, test.b, got)
		}
	}
}
