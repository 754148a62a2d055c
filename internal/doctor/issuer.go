package doctor

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/sanitize"
)

// issuerWait bounds the check of one issuer, with at most two requests.
const issuerWait = 20 * time.Second

// Issuer fetches the metadata of a profile's issuer, and compares the clocks by the same
// response. The findings are about the issuer and about the clock.
func Issuer(ctx context.Context, hc *http.Client, profile, issuer string, now func() time.Time) []Finding {
	ctx, stop := context.WithTimeout(ctx, issuerWait)
	defer stop()
	seen := &exchange{next: cmp.Or[http.RoundTripper](hc.Transport, http.DefaultTransport), now: now}
	watched := *hc
	watched.Transport = seen
	metadata, err := discovery.Discover(ctx, &watched, issuer)
	clock := judgeClock(seen.clock())
	if err != nil {
		return []Finding{Failed(issuerCheck, err, issuerFix(profile, issuer, err, seen.failed)), clock}
	}
	return []Finding{Fine(issuerCheck, "%s supports %s", sanitize.Line(metadata.Issuer), cmp.Or(features(metadata), "nothing that it announces")), clock}
}

// issuerFix returns what to do about an issuer that could not be queried. failure is the
// network's own error, which is more precise than the protocol's.
func issuerFix(profile, issuer string, err, failure error) string {
	invalid, _ := errors.AsType[x509.CertificateInvalidError](failure)
	network, _ := errors.AsType[net.Error](failure)
	var other *discovery.OtherIssuerError
	switch {
	case errors.As(err, &other):
		return "use the issuer as the server writes it, byte for byte: 'fob login " + profile + " --issuer " + sanitize.ShellQuote(other.Named) + "'; if it names a server that you do not know, do not log in"
	case errors.As(failure, new(x509.UnknownAuthorityError)):
		return "trust the authority that signed the server's certificate: 'fob login " + profile + " --ca-file FILE'"
	case invalid.Reason == x509.Expired:
		return "the server's certificate has expired, or this machine's clock is wrong: check 'date', then contact the server's administrator"
	case errors.As(failure, new(x509.HostnameError)):
		return "the certificate is another server's: check the issuer's host name, the proxy and the DNS"
	case errors.As(failure, new(*net.DNSError)):
		return "check the issuer's host name, the DNS and the network"
	case network != nil && network.Timeout():
		return "no answer: check firewall, VPN and proxy settings"
	case errors.Is(err, httpclient.ErrUnavailable):
		return "check the network and the proxy, or whether the server is up"
	case errors.Is(err, httpclient.ErrMalformed):
		return "the server's metadata is not usable: contact its administrator, or set the endpoints in the profile ('fob help login')"
	}
	return fmt.Sprintf("check the issuer URL: its metadata should be at %s/.well-known/openid-configuration", strings.TrimSuffix(sanitize.Line(issuer), "/"))
}

func features(m *discovery.Metadata) string {
	var names []string
	for _, feature := range []struct {
		name string
		has  bool
	}{
		{"OpenID Connect", m.OpenID},
		{"PKCE S256", slices.Contains(m.CodeChallengeMethodsSupported, "S256")},
		{"refresh", slices.Contains(m.GrantTypesSupported, "refresh_token") || slices.Contains(m.ScopesSupported, "offline_access")},
		{"revocation", m.RevocationEndpoint != ""},
		{"device", m.DeviceAuthorizationEndpoint != ""},
		{"PAR", m.PushedAuthorizationEndpoint != ""},
		{"DPoP", len(m.DPoPAlgorithmsSupported) > 0},
		{"iss", m.IssParameterSupported},
	} {
		if feature.has {
			names = append(names, feature.name)
		}
	}
	return strings.Join(names, ", ")
}

// Clock differences that are reported. A refresh depends on the server's clock, and the
// checks of an id_token on this machine's.
const (
	someSkew = 30 * time.Second
	muchSkew = 5 * time.Minute
)

// judgeClock checks how far this machine's clock is ahead of the server's.
func judgeClock(ahead time.Duration, err error) Finding {
	const check = "clock"
	if err != nil {
		return Skipped(check, "%s", err)
	}
	by, way := ahead.Abs(), "ahead of"
	if ahead < 0 {
		way = "behind"
	}
	if by <= someSkew {
		return Fine(check, "within %s of the server's", someSkew)
	}
	f := Warn(check, fmt.Sprintf("%s %s the server's", by.Round(time.Second), way), "set this machine's clock, for instance 'timedatectl set-ntp true'")
	if by > muchSkew {
		f.State = Problem
	}
	return f
}

// exchange records the clock in the last response and the last network failure of an HTTP
// client.
type exchange struct {
	next http.RoundTripper
	now  func() time.Time

	failed  error
	ahead   time.Duration
	hasDate bool
}

func (e *exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	start := e.now()
	resp, err := e.next.RoundTrip(req)
	end := e.now()
	e.failed = err
	if err != nil {
		return nil, err
	}
	if date, ok := dateOf(resp.Header); ok {
		middle := start.Add(end.Sub(start) / 2)
		e.ahead, e.hasDate = middle.Sub(date), true
	}
	return resp, nil
}

// dateOf returns when a server sent a response. Date has whole seconds, so half a second is
// added on average; a cache in between adds the age of its copy.
func dateOf(header http.Header) (time.Time, bool) {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return time.Time{}, false
	}
	age, err := strconv.ParseUint(header.Get("Age"), 10, 31)
	if err != nil {
		age = 0
	}
	return date.Add(time.Duration(age)*time.Second + time.Second/2), true
}

func (e *exchange) clock() (time.Duration, error) {
	switch {
	case e.hasDate:
		return e.ahead, nil
	case e.failed != nil:
		return 0, errors.New("the issuer was not reached")
	}
	return 0, errors.New("the server sends no date")
}
