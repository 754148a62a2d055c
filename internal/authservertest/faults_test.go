package authservertest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// TestEachFaultShowsAsOftenAsItIsArmed runs one login's whole life with each fault: it
// must differ from an honest one, and the next must not.
func TestEachFaultShowsAsOftenAsItIsArmed(t *testing.T) {
	s := start(t, Options{})
	honest := s.life(t)
	for name := range faults() {
		if name == "token-slow" || name == "token-held" {
			continue // have no end: see TestClosingDoesNotWaitForSlowAnswers and TestAHeldAnswerWaits
		}
		t.Run(name, func(t *testing.T) {
			if err := s.Arm(name, 1); err != nil {
				t.Fatal(err)
			}
			if s.life(t) == honest {
				t.Error("nobody could tell")
			}
			if again := s.life(t); again != honest {
				t.Errorf("it goes on:\n%s\ninstead of\n%s", again, honest)
			}
		})
	}
	if s.Arm("no-such-fault", 1) == nil {
		t.Error("a fault that does not exist is armed")
	}
}

// life is one login from discovery to revocation, with all that is random blotted out.
func (s *Server) life(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	get := func(path, bearer string) { fmt.Fprintln(&b, fetch(t, http.DefaultClient, s.Issuer()+path, bearer)) }
	get("/.well-known/openid-configuration", "")
	get("/jwks", "")
	back := s.code(t, request())
	fmt.Fprintln(&b, back)
	tokens := s.exchange(&b, redemption(back.Get("code")))
	next := s.exchange(&b, refreshing(tokens.text("refresh_token")))
	get("/userinfo", next.text("access_token"))
	s.exchange(&b, refreshing(next.text("refresh_token")))
	fmt.Fprintln(&b, s.post("/revoke", url.Values{"client_id": {"fob-test"}, "token": {tokens.text("refresh_token")}}))
	return s.blot(b.String())
}

// blot puts the same word for every secret.
func (s *Server) blot(text string) string {
	var pairs []string
	for _, secret := range s.IssuedTokens() {
		pairs = append(pairs, secret, "SECRET")
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// exchange asks for tokens and writes down all of the answer, the id_token taken apart.
func (s *Server) exchange(b io.Writer, form url.Values) reply {
	r := s.post("/token", form)
	if raw := r.text("id_token"); raw != "" {
		r.m["id_token"] = anatomy(raw)
	}
	fmt.Fprintln(b, r)
	return r
}

// anatomy is an id_token's header and claims, and whether a published key signed it.
func anatomy(raw string) string {
	token, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.HS256})
	if err != nil {
		return "no signature: " + err.Error()
	}
	header := token.Signatures[0].Header
	_, errRSA := token.Verify(keys().rsa.Public())
	_, errEC := token.Verify(keys().ec.Public())
	var claims map[string]any
	if err := json.Unmarshal(token.UnsafePayloadWithoutVerification(), &claims); err != nil {
		return err.Error()
	}
	for _, name := range []string{"iat", "exp"} {
		if at, ok := claims[name].(float64); ok {
			claims[name] = time.Until(time.Unix(int64(at), 0)).Round(time.Hour)
		}
	}
	if hash, _ := claims["at_hash"].(string); strings.Trim(hash, "A") != "" {
		claims["at_hash"] = "of the access token"
	}
	return fmt.Sprint(header.Algorithm, header.KeyID, errRSA == nil, errEC == nil, claims)
}
