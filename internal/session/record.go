package session

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/idtoken"
	"github.com/fobcli/fob/internal/jwt"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/secret"
)

// Account is who is logged in, as named by the server. Every field may be empty, and all of
// it is text from the server: pass it through sanitize.
type Account struct {
	Subject string `json:"sub,omitempty"`
	Name    string `json:"name,omitempty"`
	Email   string `json:"email,omitempty"`

	Stored bool `json:"-"` // a user's stored login, which may not name the account
}

// isSame compares names only if the server has no identifiers.
func (a Account) isSame(b Account) bool {
	return a.Subject == b.Subject && (a.Subject != "" || a.Name == b.Name && a.Email == b.Email)
}

// recordVersion is raised when an older fob could no longer read a record correctly.
const recordVersion = 1

// record is one login in the credential store. Later versions read its JSON: fields are added,
// never renamed.
type record struct {
	head
	body
}

// head is what a cached token call needs. Its size does not depend on the server, so that
// it fits into the smallest item of any keyring.
type head struct {
	Version          int          `json:"v"`
	CacheKey         sealedSecret `json:"cache_key"`            // base64
	Refreshes        bool         `json:"refreshes"`            // can get fresh access tokens without the user
	LoggedOut        bool         `json:"logged_out,omitempty"` // only the registration of the client is left
	Ended            bool         `json:"ended,omitempty"`      // the server has refused its refresh token, or revoked it
	RefreshExpiresAt time.Time    `json:"refresh_expires_at,omitzero"`
	RefreshSaidAt    time.Time    `json:"refresh_said_at,omitzero"` // when the server sent RefreshExpiresAt
}

type body struct {
	Metadata     *discovery.Metadata `json:"metadata"` // pinned at login
	AuthMethod   string              `json:"token_endpoint_auth_method"`
	ClientID     string              `json:"client_id"`
	Audience     string              `json:"client_assertion_audience,omitempty"`
	ClientSecret sealedSecret        `json:"client_secret,omitzero"`
	ClientKey    sealedSecret        `json:"client_key,omitzero"` // of private_key_jwt, as a JWK
	DPoPKey      sealedSecret        `json:"dpop_key,omitzero"`   // what the tokens are bound to, as a JWK
	Registration *registration       `json:"registration,omitempty"`
	Keys         *idtoken.KeySet     `json:"keys,omitempty"`       // the issuer's, pinned
	Grant        string              `json:"grant_type,omitempty"` // config.GrantClientCredentials; empty: a user's login
	Resource     string              `json:"resource,omitempty"`   // default of the tokens
	RefreshToken sealedSecret        `json:"refresh_token,omitzero"`
	// PreviousRefreshToken is the last that worked, if RefreshToken came with a refusal.
	PreviousRefreshToken sealedSecret `json:"previous_refresh_token,omitzero"`
	AccessToken          *accessToken `json:"access_token,omitempty"` // of a login that cannot refresh
	Scope                string       `json:"scope,omitempty"`
	ACRValues            string       `json:"acr_values,omitempty"` // how the user authenticated; where the server did not say, as requested
	AuthTime             time.Time    `json:"auth_time,omitzero"`   // when, by the server; zero: it did not say
	Account              Account      `json:"account"`
	LoggedInAt           time.Time    `json:"logged_in_at"`
	SavedAt              time.Time    `json:"saved_at"` // to find the later of two copies
}

// isRenewable reports whether the login can get fresh access tokens without the user.
func (b *body) isRenewable() bool {
	return !b.RefreshToken.IsZero() || config.IsUnattended(b.Grant)
}

// registration is the client that fob has registered for this login (RFC 7592).
type registration struct {
	URI         string       `json:"registration_client_uri,omitempty"`
	AccessToken sealedSecret `json:"registration_access_token,omitzero"`
}

// accessToken is an access token at rest, always inside sealed bytes.
type accessToken struct {
	Value     sealedSecret `json:"access_token"`
	Type      string       `json:"token_type"`
	Scope     string       `json:"scope,omitempty"`
	IssuedAt  time.Time    `json:"issued_at"`
	ExpiresAt time.Time    `json:"expires_at,omitzero"` // zero: unknown
	Uptime    Uptime       `json:"uptime,omitzero"`     // when it was issued

	IDToken          sealedSecret `json:"id_token,omitzero"` // from the same response
	IDTokenExpiresAt time.Time    `json:"id_token_expires_at,omitzero"`
}

// sealedSecret is a Secret whose JSON is its text. Its JSON must be sealed.
type sealedSecret struct{ secret.Secret }

func (s sealedSecret) MarshalJSON() ([]byte, error) { return json.Marshal(s.Reveal()) }

func (s *sealedSecret) UnmarshalJSON(text []byte) error {
	var value string
	if err := json.Unmarshal(text, &value); err != nil {
		return err
	}
	s.Secret = secret.New(value)
	return nil
}

func (r *record) marshal() (stored credstore.Record, err error) {
	r.Refreshes = r.isRenewable()
	if stored.Head, err = json.Marshal(r.head); err != nil {
		return stored, err
	}
	stored.Body, err = json.Marshal(r.body)
	return stored, err
}

// parseHead reads the head of an opened record. Invalid content is credstore.ErrCorrupt; no
// part of the record appears in an error.
func parseHead(plain []byte) (head, error) {
	var h head
	if err := json.Unmarshal(plain, &h); err != nil {
		return h, errForeignRecord()
	}
	if h.Version > recordVersion {
		return h, fmt.Errorf("the login was saved by a newer fob (record version %d): %w", h.Version, credstore.ErrCorrupt)
	}
	return h, nil
}

func parseRecord(stored credstore.Record) (*record, error) {
	r, err := parseSummary(stored)
	if err == nil && (json.Unmarshal(stored.Body, &r.body) != nil || r.Metadata == nil) {
		return nil, errForeignRecord()
	}
	return r, err
}

// parseSummary is parseRecord without the server's metadata and keys, which take most of the
// time.
func parseSummary(stored credstore.Record) (*record, error) {
	h, err := parseHead(stored.Head)
	if err != nil {
		return nil, err
	}
	r := &record{head: h}
	if json.Unmarshal(stored.Body, &struct {
		*body
		Metadata *struct{} `json:"metadata"`
		Keys     *struct{} `json:"keys"`
	}{body: &r.body}) != nil {
		return nil, errForeignRecord()
	}
	r.Account.Stored = !config.IsUnattended(r.Grant)
	return r, nil
}

func errForeignRecord() error {
	return fmt.Errorf("the login's record is not one that fob wrote: %w", credstore.ErrCorrupt)
}

// cacheKey seals the login's cached access tokens.
func (h head) cacheKey() (seal.Key, error) {
	raw, err := base64.StdEncoding.DecodeString(h.CacheKey.Reveal())
	key, keyErr := seal.KeyFromBytes(raw)
	if err != nil || keyErr != nil {
		return seal.Key{}, fmt.Errorf("the login's cache key: %w", credstore.ErrCorrupt)
	}
	return key, nil
}

func (s *Session) client(r *record) (*oauth.Client, error) {
	c := &oauth.Client{
		HTTP: s.HTTP, Metadata: r.Metadata, Now: s.Clock.Now,
		ClientID: r.ClientID, ClientSecret: r.ClientSecret.Secret, AssertionAudience: r.Audience,
	}
	var err error
	if r.AuthMethod == oauth.AuthKeyJWT {
		if c.ClientKey, err = s.clientKey(r); err != nil {
			return nil, err
		}
	}
	if !r.DPoPKey.IsZero() {
		if c.DPoPKey, err = jwt.Parse(r.DPoPKey.Secret); err != nil {
			return nil, fmt.Errorf("the login's DPoP key: %w", credstore.ErrCorrupt)
		}
	}
	return c, c.UseAuthMethod(r.AuthMethod)
}

func (s *Session) verifier(c *oauth.Client, keys *idtoken.KeySet) *idtoken.Verifier {
	return &idtoken.Verifier{
		HTTP: c.HTTP, Issuer: c.Metadata.Issuer, JWKSURI: c.Metadata.JWKSURI, ClientID: c.ClientID,
		Audiences: s.Profile.TrustedAudiences, Keys: keys, Now: c.Now, ServerNow: c.ServerNow,
	}
}

// clientKey returns the key sealed with the login, else the one in the profile's file.
func (s *Session) clientKey(r *record) (jwt.Key, error) {
	if r.ClientKey.IsZero() {
		return s.KeyFile()
	}
	key, err := jwt.Parse(r.ClientKey.Secret)
	if err != nil {
		return jwt.Key{}, fmt.Errorf("the login's private key: %w", credstore.ErrCorrupt)
	}
	return key, nil
}

// KeyFile reads the private key in the profile's file.
func (s *Session) KeyFile() (jwt.Key, error) {
	path := s.Profile.PrivateKeyFile
	if path == "" {
		return jwt.Key{}, fmt.Errorf("the client of profile %q: %w", s.Profile.Name, oauth.ErrNoClientKey)
	}
	text, err := atomicfile.ReadCredential(path, maxKeyFile)
	if err != nil {
		return jwt.Key{}, fmt.Errorf("reading the private key: %w", err)
	}
	if text, err = sanitize.Decode(text); err != nil {
		return jwt.Key{}, fmt.Errorf("the private key in %s: %w", path, err)
	}
	key, err := jwt.Parse(secret.New(string(text)))
	if err != nil {
		return jwt.Key{}, fmt.Errorf("the private key in %s: %w", path, err)
	}
	return key, nil
}

const maxKeyFile = 64 << 10
