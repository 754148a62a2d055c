package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"
)

// IssuerMark is the part of a redirect URI that stands for a hash of the profile's issuer.
// It is expanded on use, so that another issuer always gets another redirect URI.
const IssuerMark = "{issuer}"

// If all issuers share a redirect URI, a malicious one can send the browser on to an honest
// one and get its code (RFC 9700 §4.4), so new profiles use issuerRedirect. Profiles with a
// client but without this setting were registered with sharedRedirect.
const (
	sharedPath     = "/callback"
	sharedRedirect = "http://127.0.0.1" + sharedPath
	issuerRedirect = sharedRedirect + "/" + IssuerMark
)

// issuerHashSize is large enough that no second issuer with the same hash can be found.
const issuerHashSize = 10 // bytes

// expandRedirect replaces the mark, unless the issuer is not known yet.
func expandRedirect(uri, issuer string) string {
	if issuer == "" || strings.Contains(issuer, "{") {
		return uri
	}
	sum := sha256.Sum256([]byte(issuer))
	return strings.ReplaceAll(uri, IssuerMark, hex.EncodeToString(sum[:issuerHashSize]))
}

// Redirect returns the redirect URI to register and to log in with.
func (p Profile) Redirect() string {
	if p.ClientID == "" {
		p.NameIssuer()
	}
	full := p.WithProvider()
	return expandRedirect(cmp.Or(full.RedirectURI, sharedRedirect), cmp.Or(full.Issuer, full.AuthorizationEndpoint))
}

// Redirect returns the redirect URI to register for a preset.
func (p Provider) Redirect() string {
	return expandRedirect(p.RedirectURI, cmp.Or(p.Issuer, p.AuthorizationEndpoint))
}

// NameIssuer gives a login without a redirect URI one that contains its issuer.
func (p *Profile) NameIssuer() {
	if p.RedirectURI == "" && p.Grant == "" {
		preset, _ := FindProvider(p.Provider)
		p.RedirectURI = cmp.Or(preset.RedirectURI, issuerRedirect)
	}
}

// IsMetadataURL reports whether a client ID is the URL of a document about the client.
func IsMetadataURL(clientID string) bool {
	u, err := url.Parse(clientID)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && u.Fragment == "" && len(u.Path) > 1 && !strings.Contains(u.Path, "/.")
}

// UseMetadataURL makes a document's URL the client ID. The document lists the redirect URIs
// for all issuers, so that none can contain the issuer: such a login requires iss instead.
func (p *Profile) UseMetadataURL(clientID string) {
	p.ClientID = clientID
	if p.RedirectURI == issuerRedirect {
		p.RedirectURI = sharedRedirect
	}
}

// MoveTo makes a profile one at another issuer, where it has no client yet.
func (p *Profile) MoveTo(issuer string) {
	p.Issuer, p.ClientID, p.RedirectURI, p.TokenEndpointAuthMethod = issuer, "", "", ""
	p.NameIssuer()
}

// RequiresIss reports whether only iss in the callback distinguishes the profile's issuer
// from another one, as the redirect URI of a client known by its URL does not.
func (p Profile) RequiresIss() bool {
	return IsMetadataURL(p.ClientID) && !strings.Contains(p.RedirectURI, IssuerMark)
}

// SharesRedirect reports whether a profile shares its redirect URI with other issuers. If
// so, it returns the setting that makes it unique.
func (c *Config) SharesRedirect(p Profile) (better string, ok bool) {
	setting := cmp.Or(p.WithProvider().RedirectURI, sharedRedirect)
	if p.Grant != "" || p.RequiresIss() || p.ClientID == "" && p.RedirectURI == "" || strings.Contains(setting, IssuerMark) {
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

// withoutPort returns a loopback URI as compared by servers that ignore the port (RFC 8252
// §7.3).
func withoutPort(raw string) url.URL {
	u, err := url.Parse(raw)
	if err != nil {
		return url.URL{Host: raw}
	}
	return url.URL{Host: u.Hostname(), Path: u.EscapedPath()}
}
