package idtoken

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// glewlwyd publishes such keys.
func TestShortCoordinatesOfAKey(t *testing.T) {
	for {
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		whole := jose.JSONWebKey{Key: private.Public(), KeyID: "k", Use: "sig"}
		text, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]string
		if err := json.Unmarshal(text, &fields); err != nil {
			t.Fatal(err)
		}
		x, err := base64.RawURLEncoding.DecodeString(fields["x"])
		if err != nil {
			t.Fatal(err)
		}
		if x[0] != 0 {
			continue
		}
		fields["x"] = base64.RawURLEncoding.EncodeToString(x[1:])
		short, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		var read jose.JSONWebKey
		if err := read.UnmarshalJSON(wholeCoordinates(short)); err != nil || !private.PublicKey.Equal(read.Key) || read.KeyID != "k" || read.Use != "sig" {
			t.Errorf("%s: %v", short, err)
		}
		return
	}
}

func TestOtherKeysStayAsTheyAre(t *testing.T) {
	for _, raw := range []string{`{"kty":"RSA","n":"AQAB","e":"AQAB"}`, `{"kty":"EC","crv":"P-256","x":"!","y":"AA"}`, `{"crv":"P-999","x":"AA"}`, `[]`, `null`, `{"crv":7}`} {
		if got := wholeCoordinates(json.RawMessage(raw)); string(got) != raw {
			t.Errorf("%s became %s", raw, got)
		}
	}
}

// A signature by a key as large as an answer may be takes minutes to check.
func TestC37HugeKeysAreNotUsed(t *testing.T) {
	sized := func(bits uint) *rsa.PublicKey {
		return &rsa.PublicKey{N: new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), bits), big.NewInt(1)), E: 1<<31 - 1}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: sized(4_000_000), KeyID: "huge"}, {Key: sized(4096), KeyID: "good"}}})
	}))
	defer server.Close()
	v := &Verifier{HTTP: server.Client(), JWKSURI: server.URL, Now: time.Now}
	if err := v.fetchKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(v.Keys.Keys) != 1 || v.Keys.Keys[0].KeyID != "good" {
		t.Errorf("C37: %d keys are used", len(v.Keys.Keys))
	}
}
