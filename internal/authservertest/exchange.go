package authservertest

import (
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// TestRequestToken is what a job of the CI asks for its identity with.
const TestRequestToken = "TEST-REQUEST-TOKEN"

// identitySubject is the job that the CI's identities are of.
const identitySubject = "repo:acme/app:ref:refs/heads/main"

const tokenType = "urn:ietf:params:oauth:token-type:"

func exchangeFaults() map[string]fault {
	return map[string]fault{
		"exchange-invalid-target": {endpoint: "exchange", answer: errorAnswer("invalid_target")},
		"identity-crlf":           {endpoint: "identity", change: setField("value", "a\r\nX-Evil: 1")},
	}
}

// IdentityURL is where a job of the CI asks for its identity: what GitHub calls
// ACTIONS_ID_TOKEN_REQUEST_URL. It has a query, which &audience= goes on with.
func (s *Server) IdentityURL() string { return s.http.URL + "/test/identity?api-version=2.0" }

// IdentityToken is a JWT of the CI for a job, for one audience.
func (s *Server) IdentityToken(audience string) string {
	now := time.Now()
	spec := idTokenSpec{
		claims: map[string]any{
			"iss": s.Issuer() + "/ci", "sub": identitySubject, "aud": audience, "jti": rand.Text(),
			"iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "repository": "acme/app", "ref": "refs/heads/main",
		},
		algorithm: jose.ES256, key: keys().ec, kid: "ec",
	}
	raw := spec.sign()
	s.record(raw)
	return raw
}

// serveIdentity answers as GitHub Actions does.
func (s *Server) serveIdentity(w http.ResponseWriter, r *http.Request) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") || token != TestRequestToken {
		http.Error(w, "not the job's request token", http.StatusUnauthorized)
		return
	}
	audience := r.URL.Query()["audience"]
	if len(audience) == 0 {
		audience = []string{"https://github.com/acme"}
	}
	if len(audience) > 1 {
		http.Error(w, "more than one audience", http.StatusBadRequest)
		return
	}
	s.answer(w, "identity", map[string]any{"count": 1, "value": s.IdentityToken(audience[0])})
}

// checkIdentity names what is wrong with a job's identity, which must be for this
// server alone (RFC 7523 §3).
func (s *Server) checkIdentity(raw string) (subject, problem string) {
	_, c, err := openJWT(raw, keys().ec.Public(), []jose.SignatureAlgorithm{jose.ES256})
	switch {
	case err != nil:
		return "", "the signature: " + err.Error()
	case c.Issuer != s.Issuer()+"/ci":
		return "", "an issuer that is not trusted"
	case !slices.Equal(c.Audience, []string{s.Issuer()}):
		return "", "it is for somebody else"
	case c.Subject == "":
		return "", "no sub"
	}
	return c.Subject, c.checkTimes(10 * time.Minute)
}

// serveExchange gives an access token for a job's identity (RFC 8693 §2).
func (s *Server) serveExchange(w http.ResponseWriter, r *http.Request, by tokenClient) {
	if s.faultAnswers("exchange", w, r) {
		return
	}
	form := r.PostForm
	problem := ""
	switch kind := strings.TrimPrefix(form.Get("subject_token_type"), tokenType); {
	case kind != "jwt" && kind != "id_token" || kind == form.Get("subject_token_type"):
		problem = "a subject_token_type that is not taken"
	case form.Has("actor_token") || form.Has("actor_token_type"):
		problem = "nobody acts for anybody here"
	case form.Has("requested_token_type") && form.Get("requested_token_type") != tokenType+"access_token":
		problem = "a requested_token_type that is not given"
	}
	subject := ""
	if problem == "" {
		subject, problem = s.checkIdentity(form.Get("subject_token"))
	}
	if refused(w, "invalid_request", problem) { // RFC 8693 §2.2.2
		return
	}
	if slices.ContainsFunc(form["audience"], func(one string) bool { return one != "acme-api" && !s.knowsResource(one) }) {
		writeError(w, http.StatusBadRequest, "invalid_target", "unknown audience")
		return
	}
	s.serveOwn(w, r, by, subject, map[string]any{"issued_token_type": tokenType + "access_token"})
}

// serveAssertionGrant is the same with an assertion (RFC 7523 §2.1).
func (s *Server) serveAssertionGrant(w http.ResponseWriter, r *http.Request, by tokenClient) {
	subject, problem := s.checkIdentity(r.PostForm.Get("assertion"))
	if !refused(w, "invalid_grant", problem) {
		s.serveOwn(w, r, by, subject, nil)
	}
}
