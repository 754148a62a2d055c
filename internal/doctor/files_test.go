package doctor

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// check fails unless a finding has the state, and everything that is not well a fix
// and a text that is safe to show.
func check(t *testing.T, name string, f Finding, want State, seen string) {
	t.Helper()
	if f.State != want || !strings.Contains(f.Detail, seen) || f.Check == "" {
		t.Errorf("%s: %+v, want %q with %q", name, f, want, seen)
	}
	if bad := f.State == Problem || f.State == Warning; bad != (f.Fix != "") {
		t.Errorf("%s: %q has the fix %q", name, f.State, f.Fix)
	}
	if strings.ContainsAny(f.Detail+f.Fix, "\x00\x07\x1b\n\r\u009b\u202e") {
		t.Errorf("H61 %s: %q", name, f)
	}
	if strings.Contains(f.Detail+f.Fix, "PROFILE") {
		t.Errorf("%s: a placeholder instead of the profile's name: %+v", name, f)
	}
}

func TestReport(t *testing.T) {
	if r := NewReport([]Finding{Fine("a", "x"), Skipped("b", "y")}); !r.OK || r.Summary() != "" {
		t.Errorf("%+v, %q", r, r.Summary())
	}
	r := NewReport([]Finding{{State: Warning}, {State: Problem}, {State: Warning}, {State: OK}})
	if r.OK || r.Summary() != "1 problem and 2 warnings" {
		t.Errorf("%+v, %q", r, r.Summary())
	}
}

func TestFolderThatIsNotThere(t *testing.T) {
	check(t, "missing", Folder("data folder", filepath.Join(t.TempDir(), "nowhere")), OK, "does not exist yet")
}

func TestFreeSpace(t *testing.T) {
	check(t, "real", FreeSpace("data space", filepath.Join(t.TempDir(), "not", "yet", "there")), OK, "MiB free")
	for _, test := range []struct {
		free uint64
		want State
	}{
		{0, Problem}, {1<<20 - 1, Problem}, {1 << 20, Warning}, {50<<20 - 1, Warning}, {50 << 20, OK}, {1<<64 - 1, OK},
	} {
		check(t, "F51 free space", judgeSpace("data space", "/d", test.free), test.want, "free for /d")
	}
}

// certificate makes a PEM certificate of a name that ends at a time.
func certificate(t *testing.T, name string, end time.Time) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: end.Add(-time.Hour), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestCAFile(t *testing.T) {
	now := time.Now()
	good, old := certificate(t, "company", now.Add(time.Hour)), certificate(t, "\x1b]52;c;aGk=\x07old\u202e\nok", now.Add(-time.Hour))
	for name, test := range map[string]struct {
		text string
		want State
		seen string
	}{
		"good":                  {good, OK, "certificates: 1"},
		"with text around it":   {"# mine\n" + good + "bye\n", OK, "certificates: 1"},
		"one of two expired":    {good + old, Warning, "1 of 2 certificates expired: "},
		"all expired":           {old, Problem, "old"},
		"empty":                 {"", Problem, "no PEM certificate"},
		"text":                  {"certificate", Problem, "no PEM certificate"},
		"a key alone":           {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", Problem, "no PEM certificate"},
		"a damaged certificate": {good + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", Problem, "certificate 2 does not parse"},
	} {
		path := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		check(t, name, CAFile(path, now, "use another"), test.want, test.seen)
	}
	check(t, "missing", CAFile(filepath.Join(t.TempDir(), "ca.pem"), now, "use another"), Problem, "ca.pem")
	check(t, "folder", CAFile(t.TempDir(), now, "use another"), Problem, "not a regular file")
}
