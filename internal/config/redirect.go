package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"
)

// IssuerMark stands in a redirect URI for a hash of the profile's issuer. It is
// replaced when the URI is used, so that a profile whose issuer is edited gets another
// redirect with it.
const IssuerMark = "{issuer}"

// One redirect for all issuers lets a malicious one send the browser on to an honest
// one and get its code (RFC 9700 §4.4): new profiles have perIssuer. A profile that has
// a client and no setting is older, or written by hand, and has shared: that is what its
// client is registered with.
const (
	sharedPath = "/callback"
	shared     = "http://127.0.0.1" + sharedPath
	perIssuer  = shared + "/" + IssuerMark
)

// issuerHashSize makes it hopeless to search for an issuer with the hash of another.
const issuerHashSize = 10 // bytes

// expandRedirect leaves the mark where no issuer is known yet.
func expandRedirect(uri, issuer string) string {
	if issuer == "" || strings.Contains(issuer, "{") {
		return uri
	}
	sum := sha256.Sum256([]byte(issuer))
	return strings.ReplaceAll(uri, IssuerMark, hex.EncodeToString(sum[:issuerHashSize]))
}

// Redirect is the redirect URI to register for a profile, and to log in with.
func (p Profile) Redirect() string {
	if p.ClientID == "" {
		p.NameIssuer()
	}
	full := p.WithProvider()
	return expandRedirect(cmp.Or(full.RedirectURI, shared), cmp.Or(full.Issuer, full.AuthorizationEndpoint))
}

// Redirect is the redirect URI to register for a preset.
func (p Provider) Redirect() string {
	return expandRedirect(p.RedirectURI, cmp.Or(p.Issuer, p.AuthorizationEndpoint))
}

// NameIssuer gives a login that has no redirect of its own one that names its issuer.
func (p *Profile) NameIssuer() {
	if p.RedirectURI == "" && p.Grant == "" {
		preset, _ := FindProvider(p.Provider)
		p.RedirectURI = cmp.Or(preset.RedirectURI, perIssuer)
	}
}

// SharesRedirect reports whether the redirect of a profile is that of another issuer
// too: the one of all profiles that do not name theirs, or another profile's. It then
// also returns the setting that names the issuer.
func (c *Config) SharesRedirect(p Profile) (better string, ok bool) {
	setting := cmp.Or(p.WithProvider().RedirectURI, shared)
	if p.Grant != "" || p.ClientID == "" && p.RedirectURI == "" || strings.Contains(setting, IssuerMark) {
		return "", false
	}
	better = strings.TrimSuffix(setting, "/") + "/" + IssuerMark
	if withoutPort(setting).Path == sharedPath {
		return better, true
	}
	for _, other := range c.Profiles {
		if other.Grant == "" && other.WithProvider().Authority() != p.WithProvider().Authority() && withoutPort(other.Redirect()) == withoutPort(setting) {
			return better, true
		}
	}
	return "", false
}

// withoutPort is what a server compares that leaves the port of a loopback address free
// (RFC 8252 §7.3).
func withoutPort(raw string) url.URL {
	u, err := url.Parse(raw)
	if err != nil {
		return url.URL{Host: raw}
	}
	return url.URL{Host: u.Hostname(), Path: u.EscapedPath()}
}
