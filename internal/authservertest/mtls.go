package authservertest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"
)

const clientSubject = "CN=fob-tls,O=Acme"

// certificates are what clients show over mutual TLS, made once in a process: one of
// the server's own CA for clients, and one that signed itself.
type certificates struct {
	authority          *x509.Certificate
	issued, selfSigned certificate
}

type certificate struct {
	der []byte
	key *ecdsa.PrivateKey
}

var clientCertificates = sync.OnceValue(func() certificates {
	subject := pkix.Name{CommonName: "fob-tls", Organization: []string{"Acme"}}
	root := issueCertificate(pkix.Name{CommonName: "authservertest client CA"}, certificate{}, true)
	return certificates{must(x509.ParseCertificate(root.der)), issueCertificate(subject, root, false), issueCertificate(subject, certificate{}, false)}
})

// issueCertificate makes a certificate that parent signs, or that signs itself.
func issueCertificate(subject pkix.Name, parent certificate, authority bool) certificate {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: subject,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true, IsCA: authority,
	}
	if authority {
		template.KeyUsage |= x509.KeyUsageCertSign
	}
	signer, by := crypto.Signer(key), template
	if parent.key != nil {
		signer, by = parent.key, must(x509.ParseCertificate(parent.der))
	}
	return certificate{must(x509.CreateCertificate(rand.Reader, template, by, key.Public(), signer)), key}
}

func (c certificate) pem() (cert, key []byte) {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.der}), keyPEM(c.key)
}

// thumbprint is x5t#S256 (RFC 8705 §3.1).
func thumbprint(der []byte) string {
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// selfSigned are the thumbprints that fob-self-signed is registered with. It may show
// fob-tls's certificate too: nobody asks here who has signed.
func selfSigned() []string {
	c := clientCertificates()
	return []string{thumbprint(c.selfSigned.der), thumbprint(c.issued.der)}
}

// ClientCertificatePEM is a certificate, and its key, for the subject of fob-tls.
func (s *Server) ClientCertificatePEM() (cert, key []byte) { return clientCertificates().issued.pem() }

// SelfSignedCertificatePEM is a certificate that is registered for fob-self-signed
// alone. It has the subject of fob-tls.
func (s *Server) SelfSignedCertificatePEM() (cert, key []byte) {
	return clientCertificates().selfSigned.pem()
}

// checkCertificate names what is wrong with a client's certificate (RFC 8705 §2).
func (s *Server) checkCertificate(client Client, connection *tls.ConnectionState) string {
	if connection == nil || len(connection.PeerCertificates) == 0 {
		return "no certificate"
	}
	cert := connection.PeerCertificates[0]
	if client.AuthMethod == "self_signed_tls_client_auth" {
		if !slices.Contains(client.Certificates, thumbprint(cert.Raw)) {
			return "another certificate"
		}
		return ""
	}
	roots := x509.NewCertPool()
	roots.AddCert(clientCertificates().authority)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return "the certificate is not of this server's CA"
	}
	if cert.Subject.String() != client.Subject {
		return "the certificate has another subject"
	}
	return ""
}

// boundThumbprint returns the thumbprint of the certificate that a client's access tokens
// are bound to (RFC 8705 §3), or "".
func boundThumbprint(client Client, connection *tls.ConnectionState) string {
	if !strings.HasSuffix(client.AuthMethod, "tls_client_auth") {
		return ""
	}
	return thumbprint(connection.PeerCertificates[0].Raw)
}

// presentsCertificate reports whether the client of a connection has the certificate with
// this thumbprint.
func presentsCertificate(connection *tls.ConnectionState, thumb string) bool {
	return connection != nil && len(connection.PeerCertificates) > 0 && thumbprint(connection.PeerCertificates[0].Raw) == thumb
}
