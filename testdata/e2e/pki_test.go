package e2e

import (
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
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// pki is a private CA and the certificate of a server on this machine, in files.
type pki struct {
	CA   string `json:"ca"`
	Cert string `json:"cert"`
	Key  string `json:"key"`

	dir  string
	root *identity
}

// identity is a key with its certificate.
type identity struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newPKI(t testing.TB) *pki {
	t.Helper()
	p := &pki{dir: t.TempDir()}
	p.root = newIdentity(t, nil, &x509.Certificate{
		Subject: pkix.Name{CommonName: "fob e2e CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	p.CA, _ = p.root.write(t, p.dir, "ca")
	p.Cert, p.Key = newIdentity(t, p.root, &x509.Certificate{
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}).write(t, p.dir, "server")
	return p
}

// certified makes a client's certificate, which the CA has signed or which has signed
// itself, and the files with it and its key.
func (p *pki) certified(t testing.TB, name string, selfSigned bool) (id *identity, cert, key string) {
	t.Helper()
	by := p.root
	if selfSigned {
		by = nil
	}
	id = newIdentity(t, by, &x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	cert, key = id.write(t, t.TempDir(), name)
	return id, cert, key
}

// trust adds certificates to the file of the CA's.
func (p *pki) trust(t testing.TB, certs ...string) {
	t.Helper()
	var all []byte
	for _, file := range append([]string{p.CA}, certs...) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	if err := os.WriteFile(p.CA, all, 0o600); err != nil {
		t.Fatal(err)
	}
}

func newIdentity(t testing.TB, by *identity, template *x509.Certificate) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = serial, time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	id := &identity{key: key, cert: template}
	if by == nil {
		by = id
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	if id.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return id
}

// write makes NAME.crt, and NAME.key which only the user may read.
func (i *identity) write(t testing.TB, dir, name string) (cert, key string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: i.cert.Raw}, key: {Type: "PRIVATE KEY", Bytes: der}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// thumbprint is what tokens that are bound to the certificate carry (RFC 8705 §3.1).
func (i *identity) thumbprint() string {
	sum := sha256.Sum256(i.cert.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// jwk is the public key with its certificate (RFC 7517 §4.7).
func (i *identity) jwk() map[string]any {
	jwk := publicJWK(i.key)
	jwk["x5c"] = []string{base64.StdEncoding.EncodeToString(i.cert.Raw)}
	jwk["x5t#S256"] = i.thumbprint()
	return jwk
}

// publicJWK writes a key on P-256 (RFC 7518 §6.2.1).
func publicJWK(key *ecdsa.PrivateKey) map[string]any {
	point, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	coordinate := base64.RawURLEncoding.EncodeToString
	return map[string]any{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "x": coordinate(point[1:33]), "y": coordinate(point[33:])}
}

// client trusts the CA; that of a nil pki is any program's.
func (p *pki) client() *http.Client {
	if p == nil {
		return http.DefaultClient
	}
	text, err := os.ReadFile(p.CA)
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
}

// showing is client with a certificate of its own.
func (p *pki) showing(id *identity) *http.Client {
	hc := p.client()
	hc.Transport.(*http.Transport).TLSClientConfig.Certificates = []tls.Certificate{{Certificate: [][]byte{id.cert.Raw}, PrivateKey: id.key}}
	return hc
}
