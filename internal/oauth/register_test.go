package oauth

import (
	"encoding/json"
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
