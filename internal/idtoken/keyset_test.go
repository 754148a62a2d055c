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
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/fobcli/fob/internal/authservertest"
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
		if err := read.UnmarshalJSON(verificationMembers(short)); err != nil || !private.PublicKey.Equal(read.Key) || read.KeyID != "k" || read.Use != "sig" {
			t.Errorf("%s: %v", short, err)
		}
		return
	}
}

func TestKeySet_IgnoresOddMembersThatVerifyNothing(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(jose.JSONWebKey{Key: private.Public(), KeyID: "good", Use: "sig"})
	if err != nil {
		t.Fatal(err)
	}
	for _, odd := range []string{
		`"x5c":["not a certificate"]`, `"x5c":"MIIB"`, `"x5t":"AA"`, `"x5t":7`, `"x5t#S256":"!"`, `"x5u":":"`, `"crv":""`, `"crv":7`, `"key_ops":"verify"`, `"x":"!"`, `"d":null`,
	} {
		server := authservertest.StartScripted(t, map[string][]authservertest.Response{
			"/jwks": {{Body: `{"keys":[7,null,{"kty":"EC","crv":"P-999","x":"AA","kid":"good"},{"kty":"EC","crv":"P-256","x":"!","y":"AA"},` + strings.Replace(string(text), "{", "{"+odd+",", 1) + `]}`}},
		})
		v := &Verifier{HTTP: server.Client(), JWKSURI: server.URL + "/jwks", Now: time.Now}
		if err := v.fetchKeys(t.Context()); err != nil || len(v.Keys.Keys) != 1 || !private.PublicKey.Equal(v.Keys.Keys[0].Key) {
			t.Errorf("%s: %v", odd, err)
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
