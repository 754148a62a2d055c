package destination

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/secret"
)

// The signatures are of AWS's published test suite for Signature Version 4.
func TestSigV4(t *testing.T) {
	key := awsKey{id: "AKIDEXAMPLE", secret: secret.New("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")}
	for name, c := range map[string]struct {
		method string
		header map[string]string
		body   string
		want   string
	}{
		"get-vanilla":                  {"GET", nil, "", "host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		"post-vanilla":                 {"POST", nil, "", "host;x-amz-date, Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
		"post-header-key-case":         {"POST", map[string]string{"My-Header1": "VALUE1"}, "", "host;my-header1;x-amz-date, Signature=cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"},
		"post-x-www-form-urlencoded":   {"POST", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, "Param1=value1", "content-type;host;x-amz-date, Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
		"post-sts-token/header-before": {"POST", map[string]string{"X-Amz-Security-Token": "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="}, "", "host;x-amz-date;x-amz-security-token, Signature=85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
	} {
		own := key
		header := make(http.Header)
		for name, value := range c.header {
			header.Set(name, value)
		}
		own.access = secret.New(header.Get("X-Amz-Security-Token"))
		sigV4{c.method, "example.amazonaws.com", "/", "us-east-1", "service", []byte(c.body)}.sign(header, own, time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC))
		want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=" + c.want
		if got := header.Get("Authorization"); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}
