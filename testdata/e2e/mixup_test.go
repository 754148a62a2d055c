package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// issuerHash is what stands for {issuer} in a redirect.
func issuerHash(issuer string) string {
	sum := sha256.Sum256([]byte(issuer))
	return hex.EncodeToString(sum[:10])
}

const waitsAt = `Waiting at (http://\S+) `

// checkRedirects opens a server's authorization endpoint with the redirect that fob
// waits at, and with those that differ in the path: another issuer's, and what a lax
// comparison would let through. visit returns where the browser is sent in the end.
func checkRedirects(t *testing.T, issuer, own string, visit func(target string) (string, error)) {
	t.Helper()
	if !strings.HasSuffix(own, "/callback/"+issuerHash(issuer)) {
		t.Errorf("fob waits at %s", own)
	}
	text, err := read(http.Get(issuer + "/.well-known/openid-configuration"))
	if err != nil {
		t.Fatal(err)
	}
	var metadata struct {
		AuthorizationEndpoint string `json:"authorization_endpoint"`
	}
	if err := json.Unmarshal([]byte(text), &metadata); err != nil {
		t.Fatal(err)
	}
	open := func(redirect string) (string, error) {
		return visit(metadata.AuthorizationEndpoint + "?" + url.Values{
			"client_id": {"fob-e2e"}, "response_type": {"code"}, "redirect_uri": {redirect}, "scope": {"openid"},
			"state": {strings.Repeat("s", 43)}, "nonce": {strings.Repeat("n", 43)},
			"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
		}.Encode())
	}
	cut := strings.LastIndex(own, "/")
	for _, redirect := range []string{own[:cut] + "/" + issuerHash("https://evil.example"), own[:cut], own + "/", own + "/x", own[:cut] + "/x/.." + own[cut:]} {
		if back, err := open(redirect); err == nil && strings.Contains(back, "code=") {
			t.Errorf("for %s the browser comes to %s", redirect, back)
		}
	}
	if back, err := open(own); err != nil || !strings.HasPrefix(back, own+"?") || !strings.Contains(back, "code=") {
		t.Errorf("for %s the browser comes to %q: %v", own, back, err)
	}
}

// TestI70_AnotherIssuersRedirect…: real servers hold to the path that they know for a
// client, which is what the defence rests on.
func TestI70_AnotherIssuersRedirect_OIDCProvider(t *testing.T) {
	t.Parallel()
	f := newFlow(t, providerOptions{}, overHTTP)
	login := f.m.start(f.loginArgs("work", "--client-id", "fob-e2e", "--no-browser", "--timeout", "60s")...)
	checkRedirects(t, f.p.issuer, login.find(waitsAt), func(target string) (string, error) {
		b := f.browser()
		err := b.visit(target)
		return b.back, err
	})
}

func TestI70_AnotherIssuersRedirect_Glewlwyd(t *testing.T) {
	t.Parallel()
	g := startGlewlwyd(t, glewlwydOptions{})
	login := g.startLogin(newMachineAtGlewlwyd(t, g), "--redirect-uri", g.native(nil), "--no-browser")
	checkRedirects(t, g.issuer, login.find(waitsAt), func(target string) (string, error) {
		b, err := newAdasBrowser(http.DefaultTransport)
		if err != nil {
			return "", err
		}
		return b.visit(target)
	})
}
