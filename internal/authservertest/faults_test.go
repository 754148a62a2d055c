package authservertest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// TestEachFaultShowsAsOftenAsItIsArmed runs one login's whole life with each fault: it
// must differ from an honest one, and the next must not.
func TestEachFaultShowsAsOftenAsItIsArmed(t *testing.T) {
	s := start(t, Options{PAR: true, Registration: true})
	honest := s.life(t)
	for name := range faults() {
		switch name {
		case "token-slow", "token-held":
			continue // have no end: see TestClosingDoesNotWaitForSlowAnswers and TestAHeldAnswerWaits
		case "signing-key-rotation", "signing-key-rotation-just-before-signing", "refreshed-id-token-unknown-kid", "forget-clients":
			continue // are for good: see TestKeyRotation
		case "discovery-no-mtls-aliases":
			continue // is for TLS: see TestMutualTLS
		}
		t.Run(name, func(t *testing.T) {
			if err := s.InjectFault(name, 1); err != nil {
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
	if s.InjectFault("no-such-fault", 1) == nil {
		t.Error("a fault that does not exist was injected")
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
	fmt.Fprintln(&b, s.post("/revoke", url.Values{"client_id": {"fob-test"}, "token": {tokens.text("refresh_token")}}).status)
	s.otherLives(t, &b)
	return s.blot(b.String())
}

// blot puts the same word for every secret.
func (s *Server) blot(text string) string {
	var pairs []string
	for _, secret := range s.IssuedTokens() {
		pairs = append(pairs, secret, "SECRET")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.devices {
		pairs = append(pairs, d.userCode, "USERCODE")
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// otherLives are the flows beside the browser's.
func (s *Server) otherLives(t *testing.T, b io.Writer) {
	t.Helper()
	write := func(r reply) reply {
		fmt.Fprintln(b, r.status, r.m)
		return r
	}
	write(s.post("/par", request()))
	device := write(s.post("/device_authorization", url.Values{"client_id": {"fob-test"}, "scope": {"openid"}}))
	write(s.post("/token", polling(device.text("device_code"))))
	header := http.Header{"DPoP": {newProver(t).proof(t, "POST", s.Issuer()+"/token", nil)}}
	service := (&http.Request{Header: header})
	service.SetBasicAuth("fob-service", url.QueryEscape(ClientSecret))
	write(s.postWith(http.DefaultClient, "/token", url.Values{"grant_type": {grantClient}}, header))
	fmt.Fprintln(b, fetch(t, http.DefaultClient, s.Issuer()+"/.well-known/oauth-protected-resource/api", ""))
	fmt.Fprintln(b, fetch(t, http.DefaultClient, s.IdentityURL()+"&audience="+s.Issuer(), TestRequestToken))
	write(s.post("/token", exchanging(s.IdentityToken(s.Issuer()))))

	r := send(http.DefaultClient, http.MethodPost, s.Issuer()+"/register", http.Header{"Content-Type": {"application/json"}}, nativeClient)
	id := path.Base(r.text("registration_client_uri"))
	if r.m != nil {
		r.m["client_id_issued_at"] = nil
	}
	fmt.Fprintln(b, strings.ReplaceAll(fmt.Sprint(r.status, r.m), id, "ID"))
	write(send(http.DefaultClient, http.MethodDelete, s.Issuer()+"/register/"+id, http.Header{"Authorization": {"Bearer " + r.text("registration_access_token")}}, ""))
}

// exchange asks for tokens and writes down all of the answer, the id_token taken apart.
func (s *Server) exchange(b io.Writer, form url.Values) reply {
	r := s.post("/token", form)
	if raw := r.text("id_token"); raw != "" {
		r.m["id_token"] = anatomy(raw)
	}
	fmt.Fprintln(b, r.status, r.m)
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
