package loopback

import (
	"net/url"
	"testing"

	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/oauth"
)

const defaultRedirect = "http://127.0.0.1/callback"

// newRequest is a login at an issuer that says iss in its answers.
func newRequest(redirectURI string) *oauth.AuthorizationRequest {
	c := &oauth.Client{ClientID: "fob", Metadata: &discovery.Metadata{
		Issuer: "https://sso.example.com", AuthorizationEndpoint: "https://sso.example.com/authorize?tenant=1",
		JWKSURI: "https://sso.example.com/jwks", IssParameterSupported: true,
	}}
	r, err := c.NewAuthorizationRequest(redirectURI, oauth.AuthorizationParams{Scopes: []string{"openid", "email"}, Extra: map[string]string{"prompt": "consent"}})
	if err != nil {
		panic(err)
	}
	return r
}

// stateOf is what the callback of a login must bring back.
func stateOf(r *oauth.AuthorizationRequest) string {
	u, err := url.Parse(r.URL())
	if err != nil {
		panic(err)
	}
	return u.Query().Get("state")
}

// goodCallback is the callback of a login that went well.
func goodCallback(r *oauth.AuthorizationRequest) url.Values {
	return url.Values{"code": {"a-code"}, "state": {stateOf(r)}, "iss": {"https://sso.example.com"}}
}

// FuzzCallbackQuery holds the listener to one rule: the login goes on unless the
// one state is right, and a code comes out of an unambiguous answer alone.
func FuzzCallbackQuery(f *testing.F) {
	for _, query := range []string{
		"code=a&state=right&iss=https://x", "code=a&state=wrong", "state=right&state=right&code=a", "state=right&error=access_denied&iss=https://x",
		"state=&state=&%zz;;&code", "state=right;code=a", "state=right&code=a&iss=https://x&%zz", "%73tate=right&code=a&code=b&iss=https://x", "state=right%00&code=%0a",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) { checkCallback(t, query) })
}
