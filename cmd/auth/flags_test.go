package auth

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/oauth"
)

func TestProfileFlags_Apply(t *testing.T) {
	const issuer = "https://sso.example.com"
	for name, test := range map[string]struct {
		before    config.Profile
		args      []string
		want      func(p config.Profile) bool
		err, hint string
	}{
		"nothing":           {config.Profile{Name: "work", Issuer: issuer, DPoP: true}, nil, func(p config.Profile) bool { return p.Issuer == issuer && p.DPoP && p.RedirectURI == "" }, "", ""},
		"scopes in words":   {config.Profile{Scopes: []string{"old"}}, []string{"--scope", "openid email", "--scope", "x"}, func(p config.Profile) bool { return slices.Equal(p.Scopes, []string{"openid", "email", "x"}) }, "", ""},
		"scopes removed":    {config.Profile{Scopes: []string{"old"}}, []string{"--scope", ""}, func(p config.Profile) bool { return len(p.Scopes) == 0 }, "", ""},
		"a setting removed": {config.Profile{Issuer: issuer, CAFile: "/x"}, []string{"--ca-file", ""}, func(p config.Profile) bool { return p.CAFile == "" && p.Issuer == issuer }, "", ""},
		"a flag set false":  {config.Profile{DPoP: true}, []string{"--dpop=false"}, func(p config.Profile) bool { return !p.DPoP }, "", ""},
		"a relative file": {config.Profile{}, []string{"--private-key-file", "key.pem"}, func(p config.Profile) bool {
			return filepath.IsAbs(p.PrivateKeyFile) && filepath.Base(p.PrivateKeyFile) == "key.pem"
		}, "", ""},
		"a person's grant": {config.Profile{Grant: config.GrantClientCredentials}, []string{"--grant", "authorization_code"}, func(p config.Profile) bool { return p.Grant == "" }, "", ""},
		"another issuer":   {config.Profile{Issuer: issuer}, []string{"--issuer", "https://other.example.com"}, func(p config.Profile) bool { return strings.Contains(p.RedirectURI, config.IssuerMark) }, "", ""},
		"an identity":      {config.Profile{}, []string{"--grant", "token-exchange", "--identity", "env:X"}, func(p config.Profile) bool { return p.Identity == "env:X" && p.Grant == config.GrantTokenExchange }, "", ""},

		"http":                    {config.Profile{}, []string{"--issuer", "http://sso.example.com"}, nil, "--issuer: ", "use an https URL"},
		"no preset":               {config.Profile{}, []string{"--provider", "nosuch"}, nil, `there is no preset "nosuch"`, "fob profile providers"},
		"no grant":                {config.Profile{}, []string{"--grant", "password"}, nil, `there is no grant "password"`, "client_credentials"},
		"no storage":              {config.Profile{}, []string{"--storage", "cloud"}, nil, `there is no storage "cloud"`, "keyring, file"},
		"no method":               {config.Profile{}, []string{"--token-endpoint-auth-method", "magic"}, nil, `there is no token endpoint auth method "magic"`, "private_key_jwt"},
		"no source":               {config.Profile{}, []string{"--identity", "jenkins"}, nil, "--identity: ", "choose github"},
		"no host":                 {config.Profile{}, []string{"--git-host", "git.example.com"}, nil, "--git-host: ", "https://HOST"},
		"no registry":             {config.Profile{}, []string{"--docker-registry", "ghcr.io/a b"}, nil, "--docker-registry: ", "ghcr.io"},
		"no resource":             {config.Profile{}, []string{"--resource", "api"}, nil, "--resource: ", "absolute URI"},
		"a placeholder":           {config.Profile{}, []string{"--redirect-uri", "http://127.0.0.1/{x}"}, nil, "unknown placeholder", config.IssuerMark},
		"a redirect elsewhere":    {config.Profile{}, []string{"--redirect-uri", "https://example.com/"}, nil, "", ""},
		"a lonely certificate":    {config.Profile{}, []string{"--certificate-file", "c.pem"}, nil, "a client certificate requires its key", "--certificate-key-file"},
		"a lonely key":            {config.Profile{}, []string{"--certificate-key-file", "c.pem"}, nil, "a client certificate requires its key", "--certificate-file"},
		"an identity's key":       {config.Profile{}, []string{"--grant", "jwt-bearer", "--dpop"}, nil, "cannot bind tokens to a key", "--dpop=false"},
		"an identity for a login": {config.Profile{}, []string{"--identity", "github"}, nil, "--identity requires a grant", "--grant token-exchange"},
	} {
		var flags ProfileFlags
		c := &cobra.Command{Use: "x"}
		flags.Register(c)
		if err := c.ParseFlags(test.args); err != nil {
			t.Fatal(err)
		}
		p := test.before
		err := flags.apply(&p)
		if name == "a redirect elsewhere" {
			if err == nil {
				t.Errorf("%s: %+v", name, p)
			}
			continue
		}
		checkUsage(t, name, err, test.err, test.hint)
		if err == nil && test.want != nil && !test.want(p) {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// What a login cannot do is refused before any server is asked.
func TestLogin_Options(t *testing.T) {
	const issuer = "--issuer=https://sso.example.com"
	for call, want := range map[string]struct{ err, hint string }{
		"work --timeout 0s":                    {"--timeout is 0s", "90s or 5m"},
		"Work":                                 {"invalid profile name", ""},
		"work home":                            {"takes one profile at most", "fob login --help"},
		"":                                     {"which profile?", "fob login github"},
		"work":                                 {`profile "work" has no server`, "name it with 'fob login work --issuer https://sso.example.com'"},
		"gihub":                                {`profile "gihub" has no server`, "did you mean 'fob login github'?"},
		"work --issuer http://sso.example.com": {"--issuer: ", "https URL"},
		"okta":                                 {"the preset requires your server's address", "fob login okta --issuer https://"},
		"github":                               {`profile "github" has no client ID`, "register an application at https://github.com/"},
		"github --device":                      {`profile "github" has no client ID`, "with the device flow enabled, then add --client-id"},
		"svc --grant client_credentials " + issuer:                                                  {`profile "svc" has no client ID`, "with the grant type client_credentials, then"},
		"work --no-browser --device":                                                                {"--no-browser and --device cannot be combined", ""},
		"work --with-token --device":                                                                {"--with-token and --device cannot be combined", ""},
		"work --client-secret-stdin --with-token":                                                   {"cannot be combined", ""},
		"work --client-secret-stdin --client-secret-file x":                                         {"cannot be combined", ""},
		"work --private-key-file x --private-key-stdin":                                             {"cannot be combined", ""},
		"svc --grant client_credentials --device --client-id x " + issuer:                           {"the grant client_credentials has no interactive login", "leave out --device"},
		"ci --grant token-exchange --identity github --client-secret-stdin --client-id x " + issuer: {"the grant token-exchange stores nothing", "--private-key-file"},
		"work --storage none --client-id x " + issuer:                                               {`there is no storage "none"`, "keyring, file"},
	} {
		a := cmdtest.New(t, "")
		_, _, err := a.Run(NewLogin, strings.Fields(call)...)
		checkUsage(t, call, err, want.err, want.hint)
	}
	a := cmdtest.New(t, "", "FOB_STORAGE=none")
	_, _, err := a.Run(NewLogin, "work", issuer, "--client-id", "x")
	checkUsage(t, "FOB_STORAGE=none", err, "the storage 'none' stores no logins", "unset FOB_STORAGE")
}

// What a client must be registered with depends on the flow.
func TestClientNeeds(t *testing.T) {
	for name, test := range map[string]struct {
		p           config.Profile
		device      bool
		needs, note string
	}{
		"a browser":       {config.Profile{Provider: "github"}, false, "the redirect URI http://127.0.0.1/callback/", "whole path"},
		"a device":        {config.Profile{Provider: "github"}, true, "the device flow enabled", "Enable Device Flow"},
		"another server":  {config.Profile{Issuer: "https://sso.example.com"}, true, "the device flow enabled", ""},
		"a machine":       {config.Profile{Provider: "auth0", Grant: config.GrantClientCredentials}, false, "the grant type client_credentials", ""},
		"a google device": {config.Profile{Provider: "google"}, true, "the device flow enabled", "Limited Input"},
	} {
		needs, note := clientNeeds(test.p, test.device)
		if !strings.HasPrefix(needs, test.needs) || !strings.Contains(note, test.note) || test.note == "" && note != "" || test.device && strings.Contains(needs+note, "redirect") {
			t.Errorf("%s: %q, %q", name, needs, note)
		}
	}
}

func TestNeedsSecret(t *testing.T) {
	for _, test := range []struct {
		p      config.Profile
		device bool
		want   bool
	}{
		{config.Profile{}, false, false},
		{config.Profile{TokenEndpointAuthMethod: oauth.AuthBasic}, false, true},
		{config.Profile{TokenEndpointAuthMethod: oauth.AuthPost}, false, true},
		{config.Profile{TokenEndpointAuthMethod: oauth.AuthSecretJWT}, false, true},
		{config.Profile{TokenEndpointAuthMethod: oauth.AuthNone, Provider: "google"}, false, false},
		{config.Profile{Grant: config.GrantClientCredentials}, false, true},
		{config.Profile{Grant: config.GrantClientCredentials, CertificateFile: "c.pem"}, false, false},
		{config.Profile{Provider: "google"}, false, true},
		{config.Profile{Provider: "google"}, true, true},
		{config.Profile{Provider: "github"}, false, true},
		{config.Profile{Provider: "github"}, true, false},
	} {
		if got := needsSecret(test.p, test.device); got != test.want {
			t.Errorf("%+v: %t", test.p, got)
		}
	}
}

func TestMayRegister(t *testing.T) {
	issuer := config.Profile{Issuer: "https://sso.example.com"}
	known, preset, machine := issuer, issuer, issuer
	known.ClientID, preset.Provider, machine.Grant = "fob", "github", config.GrantClientCredentials
	for _, p := range []config.Profile{known, preset, machine, {}} {
		if mayRegister(p) {
			t.Errorf("%+v", p)
		}
	}
	if !mayRegister(issuer) {
		t.Error("an issuer alone")
	}
}
