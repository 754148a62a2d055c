package oauth

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/sanitize"
)

// CheckURL accepts an address that fob may talk to, or send a person to (see
// httpclient.CheckURL).
func CheckURL(raw string) error { return httpclient.CheckURL(raw) }

// CheckResource accepts a resource indicator: an absolute URI without a fragment (RFC
// 8707 §2), which need not be an address. An address must be one that CheckURL accepts.
func CheckResource(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" || u.Scheme == "https" || u.Scheme == "http" {
		return CheckURL(raw)
	}
	if !sanitize.IsVisibleASCII(raw) || u.Opaque == "" && u.Host == "" || strings.Contains(raw, "#") {
		return fmt.Errorf("%q is not an absolute URI", sanitize.Line(raw))
	}
	return nil
}
