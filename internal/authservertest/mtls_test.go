package authservertest

import (
	"crypto/tls"
	"crypto/x509/pkix"
	"net/http"
	"strings"
	"testing"
)

// showing is a client that shows a certificate.
func showing(t *testing.T, s *Server, cert, key []byte) *http.Client {
	t.Helper()
	hc := trusting(t, s)
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	hc.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{pair}
	return hc
}

func TestMutualTLS(t *testing.T) {
	s := start(t, Options{TLS: true})
	nobody := trusting(t, s)
	issued := showing(t, s, first(s.ClientCertificatePEM()), second(s.ClientCertificatePEM()))
	own := showing(t, s, first(s.SelfSignedCertificatePEM()), second(s.SelfSignedCertificatePEM()))
	stranger := issueCertificate(pkix.Name{CommonName: "fob-tls", Organization: []string{"Acme"}}, certificate{}, false)
	other := showing(t, s, first(stranger.pem()), second(stranger.pem()))
	for _, test := range []struct {
		id string
		hc *http.Client
		ok bool
	}{
		{"fob-tls", issued, true}, {"fob-tls", own, false}, {"fob-tls", other, false}, {"fob-tls", nobody, false},
		{"fob-self-signed", own, true}, {"fob-self-signed", issued, true}, {"fob-self-signed", other, false}, {"fob-self-signed", nobody, false},
	} {
		r := s.postWith(test.hc, "/token", asService(test.id), http.Header{})
		if (r.status == http.StatusOK) != test.ok || !test.ok && r.text("error") != "invalid_client" {
			t.Errorf("%s: %+v", test.id, r)
		}
		if r := s.postWith(test.hc, "/token", asService(test.id, "client_secret", "x"), http.Header{}); r.text("error") != "invalid_client" {
			t.Errorf("%s, with a secret beside it: %+v", test.id, r)
		}
	}
	token := s.postWith(issued, "/token", asService("fob-tls"), http.Header{}).text("access_token")
	for hc, want := range map[*http.Client]string{issued: "200", own: "401", nobody: "401"} {
		if page := fetch(t, hc, s.Issuer()+"/userinfo", token); !strings.HasPrefix(page, want) {
			t.Errorf("not %s: %s", want, page)
		}
	}
	aliases := func() bool {
		return strings.Contains(fetch(t, nobody, s.Issuer()+"/.well-known/openid-configuration", ""), "mtls_endpoint_aliases")
	}
	if err := s.InjectFault("discovery-no-mtls-aliases", 1); err != nil || aliases() || !aliases() {
		t.Errorf("the aliases, %v", err)
	}
}

func first(cert, _ []byte) []byte { return cert }
func second(_, key []byte) []byte { return key }
