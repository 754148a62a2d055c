package authservertest

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// deviceGrant is a login that waits for its user at another machine.
type deviceGrant struct {
	code, userCode  string
	family          *family
	interval        time.Duration
	polled          time.Time
	expires         time.Time
	allowed, denied bool
	used            bool
}

// pollTolerance is how much too early a poll may come.
const pollTolerance = 200 * time.Millisecond

func deviceFaults() map[string]fault {
	of := func(change func(map[string]any)) fault { return fault{endpoint: "device", change: change} }
	table := map[string]fault{
		"device-interval-negative":   of(setField("interval", -1)),
		"device-expires-negative":    of(setField("expires_in", -1)),
		"device-user-code-escape":    of(setField("user_code", "WDJB\x1b]52;c;aGk=\x07\x1b[31m-MJHT\nerror: all is well")),
		"device-user-code-ci":        of(setField("user_code", "::stop-commands::##vso[x]")),
		"device-no-device-code":      of(dropField("device_code")),
		"device-complete-javascript": of(setField("verification_uri_complete", "javascript:alert(1)")),

		"device-pending": {endpoint: "token", answer: errorAnswer("authorization_pending")},
		"device-denied":  {endpoint: "token", answer: errorAnswer("access_denied")},
		"device-expired": {endpoint: "token", answer: errorAnswer("expired_token")},
	}
	for kind, hostile := range hostileURLs() {
		table["device-uri-"+kind] = of(setField("verification_uri", hostile))
	}
	return table
}

// PendingDevice is the verification_uri_complete of a device that waits for a person,
// or "".
func (s *Server) PendingDevice() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.devices {
		if !d.allowed && !d.denied && time.Now().Before(d.expires) {
			return s.Issuer() + "/device?user_code=" + d.userCode
		}
	}
	return ""
}

// serveDevice begins a login on a device that has no browser (RFC 8628 §3.1).
func (s *Server) serveDevice(w http.ResponseWriter, r *http.Request) {
	client, ok := s.clientOf(w, r, "resource")
	if !ok {
		return
	}
	if !slices.Contains(client.Grants, grantDevice) {
		writeError(w, http.StatusBadRequest, "unauthorized_client", "the client is not registered for devices")
		return
	}
	if refused(w, "invalid_target", s.checkResources(r.PostForm["resource"])) {
		return
	}
	d := &deviceGrant{userCode: newUserCode(), interval: time.Duration(s.opts.DeviceInterval) * time.Second, expires: time.Now().Add(s.opts.DeviceLifetime)}
	s.mu.Lock()
	d.code = s.newSecret("device")
	d.family = s.newFamily(client, "ada", grantScopes(r.PostForm.Get("scope"), "consent"), r.PostForm["resource"])
	s.devices[d.code] = d
	s.mu.Unlock()
	s.answer(w, "device", map[string]any{
		"device_code": d.code, "user_code": d.userCode, "verification_uri": s.Issuer() + "/device",
		"verification_uri_complete": s.Issuer() + "/device?user_code=" + d.userCode,
		"expires_in":                int(s.opts.DeviceLifetime.Seconds()), "interval": s.opts.DeviceInterval,
	})
}

// newUserCode makes a code that is easy to type (RFC 8628 §6.1).
func newUserCode() string {
	const letters = "BCDFGHJKLMNPQRSTVWXZ"
	b := make([]byte, 8)
	_, _ = rand.Read(b)
	for i := range b {
		b[i] = letters[int(b[i])%len(letters)]
	}
	return string(b[:4]) + "-" + string(b[4:])
}

// deviceOf finds the login of a user code as people type it. s.mu is held.
func (s *Server) deviceOf(userCode string) (*deviceGrant, bool) {
	plain := func(code string) string {
		return strings.Map(func(r rune) rune {
			if r < 'A' || r > 'Z' {
				return -1
			}
			return r
		}, strings.ToUpper(code))
	}
	for _, d := range s.devices {
		if plain(d.userCode) == plain(userCode) && !d.allowed && !d.denied && time.Now().Before(d.expires) {
			return d, true
		}
	}
	return nil, false
}

// serveDevicePage asks for the code, and then whether it is the user's own.
func (s *Server) serveDevicePage(w http.ResponseWriter, r *http.Request) {
	userCode := r.URL.Query().Get("user_code")
	if userCode == "" {
		page{Title: "Sign in on a device", Text: "Enter the code that it shows.", Field: "user_code", Yes: "Next", Get: true}.show(w)
		return
	}
	s.mu.Lock()
	d, ok := s.deviceOf(userCode)
	s.mu.Unlock()
	if !ok {
		http.Error(w, "This code is unknown, or was used.", http.StatusNotFound)
		return
	}
	asking := consent(d.family.client.ID, d.family.scope, d.family.resources, url.Values{"user_code": {d.userCode}})
	asking.Text = "Go on only if your device shows " + d.userCode + ". " + asking.Text
	asking.show(w)
}

func (s *Server) serveDeviceConsent(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	d, ok := s.deviceOf(r.PostFormValue("user_code"))
	allowed := r.PostFormValue("answer") == "yes"
	if ok {
		d.allowed, d.denied = allowed, !allowed
	}
	s.mu.Unlock()
	switch {
	case !ok:
		http.Error(w, "This code is unknown, or was used.", http.StatusNotFound)
	case allowed:
		page{Title: "Your device is signed in", Text: "You can close this page."}.show(w)
	default:
		page{Title: "Your device is not signed in", Text: "You said no. You can close this page."}.show(w)
	}
}

// serveDevicePoll gives tokens once the user has said yes (RFC 8628 §3.5).
func (s *Server) serveDevicePoll(w http.ResponseWriter, r *http.Request, by tokenClient) {
	s.mu.Lock()
	d, ok := s.devices[r.PostForm.Get("device_code")]
	if !ok {
		d = &deviceGrant{family: &family{}}
	}
	name := d.poll(by)
	resources, within := narrowResources(d.family.resources, r.PostForm["resource"])
	if name == "" && !within {
		name = "invalid_target"
	}
	if name != "" {
		s.mu.Unlock()
		writeError(w, http.StatusBadRequest, name, "")
		return
	}
	d.used = true
	f := d.family
	m := s.tokens(issuance{family: f, scope: f.scope, resources: resources, tokenClient: by, withRefresh: s.issuesRefreshToken(f.scope)})
	s.mu.Unlock()
	s.addIDToken(m, f, f.scope, "")
	s.answerTokens(w, m, by)
}

// poll is the error that one more poll is answered with. s.mu is held.
func (d *deviceGrant) poll(by tokenClient) string {
	early := time.Since(d.polled) < d.interval-pollTolerance
	d.polled = time.Now()
	switch {
	case d.family.client.ID != by.client.ID || d.used || d.family.ended:
		return "invalid_grant"
	case early:
		d.interval += 5 * time.Second // for good
		return "slow_down"
	case d.denied:
		return "access_denied"
	case time.Now().After(d.expires):
		return "expired_token"
	case !d.allowed:
		return "authorization_pending"
	}
	return ""
}
