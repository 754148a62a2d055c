package idtoken

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/jwt"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/secret"
)

// relyingParty is a client of a test issuer, and what checks its id_tokens.
type relyingParty struct {
	*Verifier
	client *oauth.Client
}

// atServer starts a test issuer and returns a public client of it.
func atServer(t *testing.T) (*authservertest.Server, *relyingParty) {
	t.Helper()
	server, err := authservertest.Start(authservertest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	hc, err := httpclient.New(httpclient.Options{Timeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	m, err := discovery.Discover(t.Context(), hc, server.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	c := &oauth.Client{HTTP: hc, Metadata: m, ClientID: "fob-test", Now: time.Now}
	v := &Verifier{HTTP: hc, Issuer: m.Issuer, JWKSURI: m.JWKSURI, ClientID: c.ClientID, Now: time.Now, ServerNow: c.ServerNow}
	return server, &relyingParty{v, c}
}

func injectFault(t *testing.T, s *authservertest.Server, fault string) {
	t.Helper()
	if err := s.InjectFault(fault, 1); err != nil {
		t.Fatal(err)
	}
}

var someToken = secret.New("access-token")

// verified logs in at the test issuer and checks its id_token.
func verified(t *testing.T, rp *relyingParty) (*Token, *oauth.TokenResponse, error) {
	t.Helper()
	c := rp.client
	request, err := c.NewAuthorizationRequest("http://127.0.0.1:1/callback", oauth.AuthorizationParams{Scopes: []string{"openid", "offline_access"}, Extra: map[string]string{"prompt": "consent"}})
	if err != nil {
		t.Fatal(err)
	}
	back, err := authservertest.Redirect(t.Context(), request.URL(), c.HTTP)
	if err != nil {
		t.Fatal(err)
	}
	q, err := request.ParsePasted(back)
	if err != nil {
		t.Fatal(err)
	}
	code, err := request.Code(q)
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Exchange(t.Context(), request, code)
	if err != nil {
		t.Fatal(err)
	}
	access, err := r.AccessToken()
	if err != nil {
		t.Fatal(err)
	}
	id, err := rp.Verify(t.Context(), r.IDToken(), request.Nonce, access.Value)
	return id, r, err
}

// signedHere is a Verifier that knows one key, and an id_token that this key has signed.
func signedHere(t *testing.T, claims map[string]any) (*Verifier, string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: private}, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]any{"iss": "https://sso.example", "sub": "ada", "aud": "fob", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(all, claims)
	payload, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return &Verifier{
		Issuer: "https://sso.example", JWKSURI: "https://sso.example/jwks", ClientID: "fob", Now: time.Now, ServerNow: time.Now,
		Keys: &KeySet{Keys: []jose.JSONWebKey{{Key: private.Public()}}, FetchedAt: time.Now()},
	}, raw
}

// fob token --id-token prints it as it came.
func TestB22LineBreaksInAnIDToken(t *testing.T) {
	v, raw := signedHere(t, nil)
	if _, err := v.Verify(t.Context(), raw, "", secret.Secret{}); err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 10, strings.LastIndex(raw, ".") + 1, len(raw)} {
		broken := raw[:at] + "\r\n" + raw[at:]
		if _, err := v.Verify(t.Context(), broken, "", secret.Secret{}); !errors.Is(err, ErrRefused) {
			t.Errorf("B22 at %d: %v", at, err)
		}
		if _, err := v.VerifyRefreshed(t.Context(), broken, "ada", secret.Secret{}); !errors.Is(err, ErrRefused) {
			t.Errorf("B22 at %d, refreshed: %v", at, err)
		}
	}
}

func TestB20AnIDTokenForEverIsStored(t *testing.T) {
	v, raw := signedHere(t, map[string]any{"exp": 1e18})
	id, err := v.Verify(t.Context(), raw, "", secret.Secret{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := json.Marshal(id.ExpiresAt); err != nil {
		t.Errorf("B20: %v", err)
	}
}

func TestC36OtherAudiencesMustBeTrusted(t *testing.T) {
	for _, azp := range []any{nil, "fob"} {
		claims := map[string]any{"aud": []string{"fob", "https://api.example", "account"}}
		if azp != nil {
			claims["azp"] = azp
		}
		v, raw := signedHere(t, claims)
		for name, test := range map[string]struct {
			trusted []string
			refused string
		}{
			"none":  {nil, "https://api.example"},
			"one":   {[]string{"https://api.example"}, "account"},
			"both":  {[]string{"account", "https://api.example"}, ""},
			"other": {[]string{"https://api.example/", "accounts"}, "https://api.example"},
		} {
			v.Audiences = test.trusted
			_, err := v.Verify(t.Context(), raw, "", secret.Secret{})
			var refused *AudienceError
			if errors.As(err, &refused) != (test.refused != "") || refused != nil && (refused.Audience != test.refused || !errors.Is(err, ErrRefused)) {
				t.Errorf("C36 %s trusted, azp %v: %v", name, azp, err)
			}
		}
	}
}

func TestVerify_DisplayedClaimsDecideNothing(t *testing.T) {
	v, raw := signedHere(t, map[string]any{"email": false, "name": []int{1}, "preferred_username": map[string]any{}})
	if id, err := v.Verify(t.Context(), raw, "", secret.Secret{}); err != nil || id.Email != "" || id.Name != "" {
		t.Errorf("%+v, %v", id, err)
	}
}

// The names are those of the OpenID Foundation's relying-party tests, without
// their prefix oidcc-client-test.
func TestIDTokensThatAreRefused(t *testing.T) {
	server, rp := atServer(t)
	for name, fault := range map[string]string{
		"C31 -invalid-iss":                  "id-token-iss",
		"C31 -missing-sub":                  "id-token-no-sub",
		"C31 -invalid-aud":                  "id-token-aud",
		"C31 -missing-aud":                  "id-token-no-aud",
		"C31 -missing-iat":                  "id-token-no-iat",
		"C31 -nonce-invalid":                "id-token-nonce",
		"C31 -invalid-sig-rs256":            "id-token-other-rs256",
		"C31 -invalid-sig-es256":            "id-token-other-es256",
		"C31 -invalid-sig-hs256":            "id-token-hs256",
		"C31 -invalid-athash":               "id-token-at-hash",
		"C32 -idtoken-sig-none":             "id-token-none",
		"C36 expired":                       "id-token-expired",
		"C36 no exp":                        "id-token-no-exp",
		"C36 extra aud":                     "id-token-aud-extra",
		"C36 another azp":                   "id-token-azp",
		"C36 from the future":               "id-token-future",
		"C37 HS256 with the RSA public key": "id-token-hs256-with-rsa",
		"C37 unknown kid":                   "id-token-unknown-kid",
		"none came":                         "no-id-token",
	} {
		t.Run(name, func(t *testing.T) {
			injectFault(t, server, fault)
			if id, _, err := verified(t, rp); !errors.Is(err, ErrRefused) || id != nil {
				t.Errorf("%+v, %v", id, err)
			}
		})
	}
}

func TestIDTokensThatAreAccepted(t *testing.T) {
	server, rp := atServer(t)
	for name, fault := range map[string]string{
		"C33 base case, -idtoken-sig-rs256": "",
		"C33 -idtoken-sig-es256":            "id-token-es256",
		"C33 -kid-absent-single-jwks":       "id-token-no-kid",
		"C33 without at_hash":               "id-token-no-at-hash",
		"C36 aud array":                     "id-token-aud-array",
	} {
		t.Run(name, func(t *testing.T) {
			if fault != "" {
				injectFault(t, server, fault)
			}
			id, _, err := verified(t, rp)
			if err != nil || id.Subject != "ada" || id.Email != "ada@example.com" {
				t.Errorf("%+v, %v", id, err)
			}
		})
	}
	t.Run("C33 -scope-userinfo-claims", func(t *testing.T) {
		_, r, err := verified(t, rp)
		if err != nil {
			t.Fatal(err)
		}
		access, err := r.AccessToken()
		if err != nil {
			t.Fatal(err)
		}
		info, err := rp.client.Userinfo(t.Context(), access.Value, "ada")
		if err != nil || info.Email != "ada@example.com" || info.Name != "Ada Lovelace" {
			t.Errorf("%+v, %v", info, err)
		}
		if _, err := rp.client.Userinfo(t.Context(), access.Value, "mallory"); !errors.Is(err, oauth.ErrWrongSubject) {
			t.Errorf("C31 -userinfo-invalid-sub: %v", err)
		}
	})
	t.Run("C33 -client-secret-basic", func(t *testing.T) {
		rp.client.ClientID, rp.client.ClientSecret = "fob-secret", secret.New(authservertest.ClientSecret)
		rp.ClientID = rp.client.ClientID
		if err := rp.client.UseAuthMethod(oauth.AuthBasic); err != nil {
			t.Fatal(err)
		}
		if _, _, err := verified(t, rp); err != nil {
			t.Error(err)
		}
	})
}

func TestC34OneMoreFetchForAnUnknownKey(t *testing.T) {
	server, rp := atServer(t)
	injectFault(t, server, "id-token-unknown-kid")
	if _, _, err := verified(t, rp); !errors.Is(err, ErrRefused) || server.Count("jwks") != 2 {
		t.Errorf("%v after %d fetches", err, server.Count("jwks"))
	}
}

func TestC34KeysRotatedBetween(t *testing.T) {
	for name, fault := range map[string]string{
		"C34 -signing-key-rotation":                     "signing-key-rotation",
		"C34 -signing-key-rotation-just-before-signing": "signing-key-rotation-just-before-signing",
	} {
		t.Run(name, func(t *testing.T) {
			server, rp := atServer(t)
			if _, _, err := verified(t, rp); err != nil {
				t.Fatal(err)
			}
			rp.Keys.FetchedAt = rp.Keys.FetchedAt.Add(-2 * refetchAfter)
			injectFault(t, server, fault)
			fetches := server.Count("jwks")
			if id, _, err := verified(t, rp); err != nil || id.Subject != "ada" || server.Count("jwks") != fetches+1 {
				t.Errorf("%+v, %v, %d fetches", id, err, server.Count("jwks")-fetches)
			}
		})
	}
}

func TestC37ShapesOfTokens(t *testing.T) {
	_, rp := atServer(t)
	for name, raw := range map[string]string{
		"a million dots": strings.Repeat(".", 1<<20), "no dots": "abc", "two parts": "a.b", "empty parts": "..",
		"JSON form": `{"payload":"","signatures":[]}`, "five parts": "a.b.c.d.e",
	} {
		if _, err := rp.Verify(t.Context(), raw, "n", someToken); !errors.Is(err, ErrRefused) {
			t.Errorf("C37 %s: %v", name, err)
		}
	}
}

func TestKeysThatCannotBeRead(t *testing.T) {
	server, rp := atServer(t)
	injectFault(t, server, "jwks-500")
	if _, _, err := verified(t, rp); !errors.Is(err, httpclient.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	injectFault(t, server, "jwks-huge")
	if _, _, err := verified(t, rp); err == nil {
		t.Error("D40: a key set of 3 MiB is read")
	}
}

func TestC35RefreshedIDToken(t *testing.T) {
	server, rp := atServer(t)
	_, r, err := verified(t, rp)
	if err != nil {
		t.Fatal(err)
	}
	refreshed := func(v *Verifier, subject string) error {
		access, err := r.AccessToken()
		if err != nil {
			t.Fatal(err)
		}
		id, err := v.VerifyRefreshed(t.Context(), r.IDToken(), subject, access.Value)
		if err == nil && (id.Subject != subject || id.ExpiresAt.IsZero()) {
			t.Errorf("C35: %+v", id)
		}
		return err
	}
	fetches := server.Count("jwks")
	if err := refreshed(rp.Verifier, "ada"); err != nil || server.Count("jwks") != fetches {
		t.Errorf("C35 -refresh-token: %v, with %d fetches", err, server.Count("jwks")-fetches)
	}
	if err := refreshed(rp.Verifier, "mallory"); !errors.Is(err, ErrRefused) {
		t.Errorf("C35 -refresh-token-invalid-sub: %v", err)
	}
	other := *rp.Verifier
	other.ClientID = "another"
	if err := refreshed(&other, "ada"); !errors.Is(err, ErrRefused) {
		t.Errorf("C35 another client's: %v", err)
	}
	injectFault(t, server, "id-token-iss")
	_, r, _ = verified(t, rp)
	if err := refreshed(rp.Verifier, "ada"); !errors.Is(err, ErrRefused) {
		t.Errorf("C35 -refresh-token-invalid-issuer: %v", err)
	}
}

func TestC34ARotatedKeyCostsOneFetch(t *testing.T) {
	server, rp := atServer(t)
	if _, _, err := verified(t, rp); err != nil {
		t.Fatal(err)
	}
	fetches := server.Count("jwks")
	injectFault(t, server, "id-token-unknown-kid")
	if _, _, err := verified(t, rp); !errors.Is(err, ErrRefused) || server.Count("jwks") != fetches {
		t.Errorf("C34: the keys are a moment old, and %d fetches for an unknown one: %v", server.Count("jwks")-fetches, err)
	}
	later := rp.Keys.FetchedAt.Add(-2 * refetchAfter)
	rp.Keys.FetchedAt = later
	injectFault(t, server, "id-token-unknown-kid")
	if _, _, err := verified(t, rp); !errors.Is(err, ErrRefused) || server.Count("jwks") != fetches+1 {
		t.Errorf("C34: %d fetches for an unknown key: %v", server.Count("jwks")-fetches, err)
	}
	rp.Keys = &KeySet{FetchedAt: later} // the issuer has another key since
	if _, _, err := verified(t, rp); err != nil || len(rp.Keys.Keys) == 0 {
		t.Errorf("C34 -signing-key-rotation: %v", err)
	}
}

// FuzzIDToken signs whatever claims there are, and holds the checks to what they
// promise. A text that is no token must do no harm either.
func FuzzIDToken(f *testing.F) {
	key, err := jwt.Generate()
	if err != nil {
		f.Fatal(err)
	}
	now := time.Now()
	const good = `{"iss":"https://x","sub":"ada","aud":"fob","exp":1e10,"iat":1,"nonce":"n"}`
	f.Add("eyJhbGciOiJub25lIn0.e30.", []byte(good))
	f.Add("a.b.c", []byte(`{"iss":"https://x","sub":"ada","aud":["fob","evil"],"azp":7,"exp":-1e999,"iat":null}`))
	f.Fuzz(func(t *testing.T, raw string, claims []byte) {
		clock := func() time.Time { return now }
		v := &Verifier{Issuer: "https://x", JWKSURI: "https://x/jwks", ClientID: "fob", Keys: keysOf(t, key, now), Now: clock, ServerNow: clock}
		if id, err := v.Verify(t.Context(), raw, "n", someToken); err == nil {
			t.Fatalf("%q is accepted: %+v", raw, id)
		}
		signed, err := key.SignJWT(jwt.Header{Type: "JWT"}, json.RawMessage(claims), nil)
		if err != nil {
			return
		}
		if id, err := v.Verify(t.Context(), signed, "n", someToken); err == nil && (id.Subject == "" || !id.ExpiresAt.After(now.Add(-clockLeeway))) {
			t.Fatalf("%s is accepted: %+v", claims, id)
		}
		_, _ = v.VerifyRefreshed(t.Context(), signed, "ada", someToken)
	})
}

// keysOf is a set that holds the public half of a key.
func keysOf(t *testing.T, key jwt.Key, at time.Time) *KeySet {
	t.Helper()
	signed, err := key.SignJWT(jwt.Header{EmbedKey: true}, struct{}{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := parseSigned(signed)
	if err != nil {
		t.Fatal(err)
	}
	return &KeySet{Keys: []jose.JSONWebKey{*token.Signatures[0].Header.JSONWebKey}, FetchedAt: at}
}

// TestClaims_HowTheUserAuthenticated: claims of the wrong type are unknown, and decide nothing.
func TestClaims_HowTheUserAuthenticated(t *testing.T) {
	for text, want := range map[string]Token{
		`{"exp":0}`: {},
		`{"exp":0,"acr":"gold","auth_time":1800000000}`: {ACR: "gold", AuthTime: time.Unix(1800000000, 0).UTC()},
		`{"exp":0,"acr":2,"auth_time":"soon"}`:          {},
		`{"exp":0,"acr":null,"auth_time":null}`:         {},
	} {
		claims, err := parseClaims([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		v := Verifier{Now: time.Now, ServerNow: time.Now}
		if got := v.token(claims); got.ACR != want.ACR || !got.AuthTime.Equal(want.AuthTime) {
			t.Errorf("%s: %+v", text, got)
		}
	}
}
