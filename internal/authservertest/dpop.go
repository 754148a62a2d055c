package authservertest

import (
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// proofAlgorithms are what a proof may be signed by: nothing symmetric.
var proofAlgorithms = []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.RS256, jose.PS256, jose.ES384, jose.ES512}

func dpopFaults() map[string]fault {
	return map[string]fault{
		"dpop-nonce-endless":     {endpoint: "dpop-nonce"},
		"dpop-token-type-bearer": {endpoint: "dpop-token", change: setField("token_type", "Bearer")},
	}
}

// proofKey is the key that a token request proves (RFC 9449 §5), "" without a proof;
// else it has answered.
func (s *Server) proofKey(w http.ResponseWriter, r *http.Request, client Client) (jkt string, ok bool) {
	if len(r.Header.Values("DPoP")) == 0 {
		if s.opts.DPoPRequired || client.DPoP {
			writeError(w, http.StatusBadRequest, "invalid_dpop_proof", "no proof")
			return "", false
		}
		return "", true
	}
	jkt, name, problem := s.checkProof(w, r, "")
	return jkt, !refused(w, name, problem)
}

// checkProof names what is wrong with a request's proof (RFC 9449 §4.3). At a resource
// it is for an access token.
func (s *Server) checkProof(w http.ResponseWriter, r *http.Request, accessToken string) (jkt, name, problem string) {
	name = "invalid_dpop_proof"
	proofs := r.Header.Values("DPoP")
	if len(proofs) != 1 {
		return "", name, "not one proof"
	}
	header, c, err := openJWT(proofs[0], nil, proofAlgorithms)
	if err != nil {
		return "", name, "the proof's signature: " + err.Error()
	}
	sum, err := header.JSONWebKey.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", name, "the proof's key: " + err.Error()
	}
	if problem := s.checkProofClaims(r, header, c, accessToken); problem != "" {
		return "", name, problem
	}
	if !s.isNewJTI("proof ", c.ID) {
		return "", name, "the proof was used before"
	}
	if _, endless := s.take("dpop-nonce", nil); endless {
		w.Header().Set("DPoP-Nonce", rand.Text())
		return "", "use_dpop_nonce", "always another nonce"
	}
	if s.opts.DPoPNonce && c.Nonce != s.nonce {
		return "", "use_dpop_nonce", "the proof has not the current nonce"
	}
	return base64.RawURLEncoding.EncodeToString(sum), "", ""
}

func (s *Server) checkProofClaims(r *http.Request, header jose.Header, c claims, accessToken string) string {
	switch {
	case !hasType(header, "dpop+jwt"):
		return "the proof's typ is not dpop+jwt"
	case !header.JSONWebKey.IsPublic():
		return "the proof's key is not public"
	case c.Method != r.Method:
		return "the proof is for another method"
	case c.URL != s.http.URL+r.URL.Path:
		return "the proof is for another URL"
	case c.ID == "":
		return "the proof has no jti"
	case c.IssuedAt == nil:
		return "the proof has no iat"
	case time.Since(time.Unix(int64(*c.IssuedAt), 0)).Abs() > time.Minute:
		return "the proof is not of this minute"
	case accessToken != "" && c.Hash != challengeOf(accessToken):
		return "the proof is for another access token"
	}
	return ""
}
