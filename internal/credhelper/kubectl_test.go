package credhelper

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/secret"
)

const execInfo = `{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","spec":{"interactive":false,"cluster":{"server":"https://k8s.example.com:6443","certificate-authority-data":"eA==","config":{"server":"https://evil.test"}}}}`

func TestKubectl(t *testing.T) {
	q, err := ReadExecInfo(execInfo)
	if err != nil || q.Server != "https://k8s.example.com:6443" || q.Unverified {
		t.Fatalf("%+v, %v", q, err)
	}
	end := time.Date(2026, 11, 24, 12, 0, 0, 5, time.FixedZone("", 3600))
	for info, want := range map[string]string{
		execInfo: `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"expirationTimestamp":"2026-11-24T11:00:00Z","token":"tok"}}` + "\n",
		"":       `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"expirationTimestamp":"2026-11-24T11:00:00Z","token":"tok"}}` + "\n",
		strings.Replace(execInfo, "k8s.io/v1", "k8s.io/v1beta1", 1): `{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","status":{"expirationTimestamp":"2026-11-24T11:00:00Z","token":"tok"}}` + "\n",
	} {
		q, err := ReadExecInfo(info)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := q.WriteKubectl(&out, Credential{Token: secret.New("tok"), ExpiresAt: end}); err != nil || out.String() != want {
			t.Errorf("%v\n%s", err, out.String())
		}
	}
	var out bytes.Buffer
	if err := q.WriteKubectl(&out, Credential{Token: secret.New("tok")}); err != nil || strings.Contains(out.String(), "expiration") {
		t.Errorf("a token without an end: %v, %s", err, out.String())
	}
	out.Reset()
	if err := q.WriteKubectl(&out, Credential{Token: secret.New("a\nb")}); err == nil || out.Len() > 0 {
		t.Error("a token of two lines was written")
	}
}

func TestH62ExecInfoThatIsRefused(t *testing.T) {
	for name, info := range map[string]string{
		"cut off":        execInfo[:len(execInfo)-3],
		"two":            execInfo + execInfo,
		"other kind":     strings.Replace(execInfo, "ExecCredential", "Secret", 1),
		"other version":  strings.Replace(execInfo, "k8s.io/v1", "k8s.io/v2", 1),
		"other group":    strings.Replace(execInfo, "client.", "evil.", 1),
		"no version":     `{"kind":"ExecCredential"}`,
		"no JSON":        "x",
		"LF":             strings.Replace(execInfo, "6443", `6443\nx`, 1),
		"CR":             strings.Replace(execInfo, "6443", `6443\rx`, 1),
		"NUL":            strings.Replace(execInfo, "6443", `6443\u0000x`, 1),
		"server no text": strings.Replace(execInfo, `"https://k8s.example.com:6443"`, "1", 1),
	} {
		if q, err := ReadExecInfo(info); !errors.Is(err, ErrInput) {
			t.Errorf("%s: %+v, %v", name, q, err)
		}
	}
}

func FuzzKubectl(f *testing.F) {
	f.Add(execInfo)
	f.Add(`{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1"}`)
	f.Fuzz(func(t *testing.T, info string) {
		q, err := ReadExecInfo(info)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := q.WriteKubectl(&out, Credential{Token: secret.New("tok")}); err != nil || !strings.HasPrefix(out.String(), `{"apiVersion":"client.authentication.k8s.io/v1`) {
			t.Errorf("%v, %s", err, out.String())
		}
	})
}
