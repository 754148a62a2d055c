package authservertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const jwtBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// clientKey is the key of fob-key, made once in a process.
var clientKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
})

// must is for what fails only if the machine has no random numbers, or this package is wrong.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// ClientKeyPEM is the private key of fob-key, in PKCS #8: for ES256.
func ClientKeyPEM() []byte { return keyPEM(clientKey()) }

func keyPEM(key any) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(key))})
}

// subjectOf reads a JWT's sub before anything of it is believed.
func subjectOf(raw string) string {
	token, err := jose.ParseSignedCompact(raw, anyAlgorithm)
	if err != nil {
		return ""
	}
	var c claims
	_ = json.Unmarshal(token.UnsafePayloadWithoutVerification(), &c)
	return c.Subject
}

var anyAlgorithm = []jose.SignatureAlgorithm{
	jose.HS256, jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// checkClientAssertion names what is wrong with an assertion that a client
// authenticates with (RFC 7523 §3).
func (s *Server) checkClientAssertion(client Client, r *http.Request) string {
	key, algorithms := any(client.PublicKey), algorithmsOf(client.PublicKey)
	if client.AuthMethod == "client_secret_jwt" {
		key, algorithms = []byte(client.Secret), []jose.SignatureAlgorithm{jose.HS256}
	}
	header, c, err := openJWT(r.PostForm.Get("client_assertion"), key, algorithms)
	switch {
	case r.PostForm.Get("client_assertion_type") != jwtBearer:
		return "another client_assertion_type"
	case err != nil:
		return "the assertion's signature: " + err.Error()
	case !hasType(header, "", "JWT", "client-authentication+jwt"):
		return "the assertion is typed as something else"
	case c.Issuer != client.ID || c.Subject != client.ID:
		return "iss or sub of the assertion is not the client"
	case !slices.ContainsFunc(c.Audience, func(one string) bool { return slices.Contains(s.assertionAudiences(r), one) }):
		return "the assertion is for somebody else"
	case c.ID == "":
		return "the assertion has no jti"
	}
	if problem := c.checkTimes(10 * time.Minute); problem != "" {
		return "the assertion's times: " + problem
	}
	if !s.isNewJTI("assertion ", c.ID) {
		return "the assertion was used before"
	}
	return ""
}

// assertionAudiences are what an assertion may be for: the server by its issuer or
// its token endpoint, and where requests are pushed that endpoint too (RFC 9126 §2).
func (s *Server) assertionAudiences(r *http.Request) []string {
	audiences := []string{s.Issuer(), s.Issuer() + "/token"}
	if strings.HasSuffix(r.URL.Path, "/par") {
		audiences = append(audiences, s.Issuer()+"/par")
	}
	return audiences
}
