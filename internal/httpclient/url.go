package httpclient

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/fobcli/fob/internal/sanitize"
)

const maxURL = 8 << 10 // bytes; RFC 9110 §4.1 recommends to support at least 8,000

// CheckURL accepts an https URL, or an http one of a loopback host, without characters that
// a launcher, a shell or a log could misinterpret.
func CheckURL(raw string) error {
	if raw == "" {
		return errors.New("there is no URL")
	}
	shown := sanitize.Line(raw)
	if len(raw) > maxURL {
		return fmt.Errorf("%q has more than %d bytes", shown, maxURL)
	}
	for _, r := range raw {
		if r <= ' ' || r >= 0x7f || strings.ContainsRune("\"<>\\^`{|}", r) {
			return fmt.Errorf("%q holds a character that no URL has", shown)
		}
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return fmt.Errorf("%q is not a URL with a host", shown)
	case u.User != nil:
		return fmt.Errorf("%q holds a user name", shown)
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return fmt.Errorf("%q holds a fragment", shown)
	case u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("%q is not https", shown)
}

func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}
