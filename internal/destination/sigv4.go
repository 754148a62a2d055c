package destination

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/secret"
)

type awsKey struct {
	id             string
	secret, access secret.Secret // the latter is a session's token; often none
}

// sigV4 is a request as AWS signs it, Signature Version 4: without a query.
type sigV4 struct {
	method, host, path string
	region, service    string
	body               []byte
}

// sign adds the time and the signature to headers, all of which it covers.
func (r sigV4) sign(header http.Header, key awsKey, at time.Time) {
	at = at.UTC()
	header.Set("X-Amz-Date", at.Format("20060102T150405Z"))
	if !key.access.IsZero() {
		header.Set("X-Amz-Security-Token", key.access.Reveal())
	}
	signed := map[string]string{"host": r.host}
	for name, values := range header {
		signed[strings.ToLower(name)] = strings.Join(values, ",")
	}
	names := slices.Sorted(maps.Keys(signed))
	var lines strings.Builder
	for _, name := range names {
		fmt.Fprintf(&lines, "%s:%s\n", name, strings.TrimSpace(signed[name]))
	}
	all := strings.Join(names, ";")
	request := strings.Join([]string{r.method, r.path, "", lines.String(), all, hexSHA256(r.body)}, "\n")
	scope := strings.Join([]string{at.Format("20060102"), r.region, r.service, "aws4_request"}, "/")
	text := strings.Join([]string{"AWS4-HMAC-SHA256", header.Get("X-Amz-Date"), scope, hexSHA256([]byte(request))}, "\n")
	mac := []byte("AWS4" + key.secret.Reveal())
	for _, part := range append(strings.Split(scope, "/"), text) {
		mac = hmacSHA256(mac, part)
	}
	header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x", key.id, scope, all, mac))
}

func hexSHA256(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

func hmacSHA256(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}
