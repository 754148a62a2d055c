package session

import (
	"slices"
	"testing"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/discovery"
)

func TestWhatALoginAsksFor(t *testing.T) {
	openID := &discovery.Metadata{OpenID: true}
	for _, test := range []struct {
		name    string
		profile config.Profile
		server  *discovery.Metadata
		scopes  []string
		prompt  string
	}{
		{"an OpenID provider that lists nothing", config.Profile{}, openID, []string{"openid", "profile", "email", "offline_access"}, "consent"},
		{"one that lists some", config.Profile{}, &discovery.Metadata{OpenID: true, ScopesSupported: []string{"email", "openid", "x"}}, []string{"openid", "email"}, ""},
		{"a server that is none", config.Profile{}, &discovery.Metadata{}, nil, ""},
		{"the profile's own", config.Profile{Scopes: []string{"a"}}, openID, []string{"a"}, ""},
		{"a client's own login", config.Profile{Grant: config.GrantClientCredentials}, openID, nil, ""},
		{"a preset's parameters", config.Profile{Provider: "microsoft", Scopes: []string{"offline_access"}}, openID, []string{"offline_access"}, "select_account"},
	} {
		test.profile.Resources = []string{"https://a.example", "https://b.example"}
		got := AuthorizationParams(test.profile, test.server, nil)
		if !slices.Equal(got.Scopes, test.scopes) || got.Extra["prompt"] != test.prompt || got.Target().Resource != "https://a.example" || len(got.Resources) != 2 {
			t.Errorf("%s: %+v", test.name, got)
		}
	}
}
