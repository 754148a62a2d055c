package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/secret"
)

const deviceAnswer = `{"device_code":"dc","user_code":"WDJB-MJHT","verification_uri":"https://sso.example.com/device"%s}`

func TestB29IntervalsAndLifetimesAreBounded(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for fields, want := range map[string]struct{ interval, life time.Duration }{
		``:                                         {defaultInterval, defaultCodeLife},
		`,"interval":-1,"expires_in":-1`:           {defaultInterval, defaultCodeLife},
		`,"interval":0,"expires_in":0`:             {defaultInterval, defaultCodeLife},
		`,"interval":1e18,"expires_in":1e18`:       {maxCodeLife, maxCodeLife},
		`,"interval":1e999,"expires_in":1e999`:     {maxCodeLife, maxCodeLife},
		`,"interval":300,"expires_in":900`:         {5 * time.Minute, 15 * time.Minute},
		`,"interval":300`:                          {5 * time.Minute, defaultCodeLife},
		`,"interval":1e18,"expires_in":60`:         {time.Minute, time.Minute},
		`,"interval":"7","expires_in":"600"`:       {7 * time.Second, 10 * time.Minute},
		`,"interval":0.001,"expires_in":60`:        {time.Second, time.Minute},
		`,"interval":null,"expires_in":[]`:         {defaultInterval, defaultCodeLife},
		`,"interval":{},"expires_in":"soon"`:       {defaultInterval, defaultCodeLife},
		`,"interval":-9223372036854775808`:         {defaultInterval, defaultCodeLife},
		`,"interval":2,"expires_in":9223372036854`: {2 * time.Second, maxCodeLife},
	} {
		d, err := parseDeviceAuthorization(fmt.Appendf(nil, deviceAnswer, fields), now)
		if err != nil {
			t.Errorf("B29 %s: %v", fields, err)
			continue
		}
		if d.interval != want.interval || d.ExpiresAt.Sub(now) != want.life {
			t.Errorf("B29 %s: every %s for %s", fields, d.interval, d.ExpiresAt.Sub(now))
		}
	}
}

func TestD39DeviceAddresses(t *testing.T) {
	for _, evil := range []string{
		"http://sso.example.com/device", "file:///etc/passwd", "javascript:alert(1)", `\\host\x`, "-flag", "https://x/$(x)\nhttps://y", "https://github.com@evil.test/", "",
	} {
		quoted, _ := json.Marshal(evil)
		for field, required := range map[string]bool{"verification_uri": true, "verification_uri_complete": false} {
			body := fmt.Sprintf(`{"device_code":"dc","user_code":"A","verification_uri":"https://x/","%s":%s}`, field, quoted)
			if field == "verification_uri" {
				body = fmt.Sprintf(`{"device_code":"dc","user_code":"A","verification_uri":%s}`, quoted)
			}
			_, err := parseDeviceAuthorization([]byte(body), time.Now())
			if evil == "" && !required {
				continue
			}
			if !errors.Is(err, ErrMalformed) || strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("D39 %s %q: %v", field, evil, err)
			}
		}
	}
}

func TestD39ThePictureLeadsWhereTheAddressSays(t *testing.T) {
	for complete, want := range map[string]string{
		"https://sso.example.com/device?user_code=A":           "https://sso.example.com/device?user_code=A",
		"https://evil.test/device?user_code=A":                 "",
		"https://sso.example.com.evil.test/device?user_code=A": "",
		"http://127.0.0.1/device?user_code=A":                  "",
	} {
		d, err := parseDeviceAuthorization(fmt.Appendf(nil, deviceAnswer, fmt.Sprintf(`,"verification_uri_complete":%q`, complete)), time.Now())
		if err != nil || d.VerificationURIComplete != want {
			t.Errorf("D39 %s: %+v, %v", complete, d, err)
		}
	}
}

func TestH61UserCodesAreInert(t *testing.T) {
	d, err := parseDeviceAuthorization([]byte(`{"device_code":"dc","user_code":"A\u001b[31m\u202e\nB","verification_uri":"https://x/"}`), time.Now())
	if err != nil || strings.ContainsAny(d.UserCode, "\x1b\n\u202e") {
		t.Errorf("H61: %q, %v", d.UserCode, err)
	}
	for name, body := range map[string]string{
		"no device code": `{"user_code":"A","verification_uri":"https://x/"}`,
		"no user code":   `{"device_code":"dc","verification_uri":"https://x/"}`,
		"only escapes":   `{"device_code":"dc","user_code":"\u001b\u0007","verification_uri":"https://x/"}`,
		"a novel":        `{"device_code":"dc","user_code":"` + strings.Repeat("x", 100) + `","verification_uri":"https://x/"}`,
		"HTML":           `<html>`, "empty": ``, "null": `null`,
	} {
		if _, err := parseDeviceAuthorization([]byte(body), time.Now()); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// script is a token endpoint that gives these answers one after the other, and when
// each was asked for. It needs no network, so that time can be the test's.
type script struct {
	answers []string // a status and a body; "" is a connection that breaks
	start   time.Time
	asked   []time.Duration
}

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	s.asked = append(s.asked, time.Since(s.start))
	answer := s.answers[min(len(s.asked), len(s.answers))-1]
	if answer == "" {
		return nil, errors.New("connection reset")
	}
	status, body := 400, answer
	if strings.Contains(answer, "access_token") {
		status = 200
	}
	header := http.Header{}
	if strings.HasPrefix(answer, "503") {
		status = 503
		if _, seconds, found := strings.Cut(answer, " after "); found {
			header.Set("Retry-After", seconds)
		}
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
}

const (
	pending  = `{"error":"authorization_pending"}`
	slowDown = `{"error":"slow_down"}`
)

// poll runs DeviceToken in time that passes at once.
func poll(t *testing.T, interval, life time.Duration, answers ...string) (asked []time.Duration, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: answers, start: time.Now()}
		c := &Client{
			HTTP: &http.Client{Transport: s}, ClientID: "fob", Now: time.Now,
			Metadata: &discovery.Metadata{TokenEndpoint: "https://sso.example.com/token"},
		}
		d := &DeviceAuthorization{deviceCode: secret.New("dc"), interval: interval, ExpiresAt: time.Now().Add(life)}
		var response *TokenResponse
		response, err = c.DeviceToken(t.Context(), d)
		if (err == nil) != (response != nil) {
			t.Errorf("%v, %v", response, err)
		}
		asked = s.asked
	})
	return asked, err
}

func TestB29Polling(t *testing.T) {
	const s = time.Second
	for name, test := range map[string]struct {
		answers []string
		want    []time.Duration
		err     error
	}{
		"approved":              {[]string{pending, pending, goodAnswer}, []time.Duration{5 * s, 10 * s, 15 * s}, nil},
		"slow_down adds 5 s":    {[]string{slowDown, pending, slowDown, goodAnswer}, []time.Duration{5 * s, 15 * s, 25 * s, 40 * s}, nil},
		"broken connections":    {[]string{"", "", pending, goodAnswer}, []time.Duration{5 * s, 15 * s, 35 * s, 55 * s}, nil},
		"503":                   {[]string{"503", goodAnswer}, []time.Duration{5 * s, 15 * s}, nil},
		"expired_token":         {[]string{pending, `{"error":"expired_token"}`}, []time.Duration{5 * s, 10 * s}, ErrDeviceExpired},
		"HTML ends it":          {[]string{"<html>"}, []time.Duration{5 * s}, ErrMalformed},
		"never answered at all": {[]string{""}, []time.Duration{5 * s, 15 * s, 35 * s, 75 * s, 155 * s, 295 * s}, ErrDeviceExpired},
	} {
		asked, err := poll(t, 5*s, 5*time.Minute, test.answers...)
		if fmt.Sprint(asked) != fmt.Sprint(test.want) || !errors.Is(err, test.err) {
			t.Errorf("B29 %s: asked after %v, %v", name, asked, err)
		}
	}
}

// TestI73_PollingIsNeverSoonerThanTheServerAllows starts from what the server says: no
// answer may bring two polls closer together than its interval (RFC 8628 §3.2, §3.5).
func TestI73_PollingIsNeverSoonerThanTheServerAllows(t *testing.T) {
	const m, s = time.Minute, time.Second
	for name, test := range map[string]struct {
		fields  string
		answers []string
		want    []time.Duration
		err     error
	}{
		"5 minutes":                       {`,"interval":300,"expires_in":900`, []string{pending, goodAnswer}, []time.Duration{5 * m, 10 * m}, nil},
		"61 seconds":                      {`,"interval":61,"expires_in":900`, []string{pending, goodAnswer}, []time.Duration{61 * s, 122 * s}, nil},
		"a broken connection":             {`,"interval":300,"expires_in":1800`, []string{"", "", goodAnswer}, []time.Duration{5 * m, 11 * m, 18 * m}, nil},
		"503":                             {`,"interval":300,"expires_in":1800`, []string{"503", goodAnswer}, []time.Duration{5 * m, 11 * m}, nil},
		"slow_down":                       {`,"interval":300,"expires_in":1800`, []string{slowDown, slowDown, goodAnswer}, []time.Duration{5 * m, 10*m + 5*s, 15*m + 15*s}, nil},
		"slow_down beyond two minutes":    {`,"interval":115,"expires_in":900`, []string{slowDown, slowDown, pending, goodAnswer}, []time.Duration{115 * s, 235 * s, 360 * s, 485 * s}, nil},
		"Retry-After":                     {`,"interval":5,"expires_in":900`, []string{"503 after 120", goodAnswer}, []time.Duration{5 * s, 125 * s}, nil},
		"Retry-After below the interval":  {`,"interval":60,"expires_in":900`, []string{"503 after 1", goodAnswer}, []time.Duration{m, 3 * m}, nil},
		"Retry-After beyond the code":     {`,"interval":5,"expires_in":60`, []string{"503 after 99999999999999999999"}, []time.Duration{5 * s}, ErrDeviceExpired},
		"as long as the code":             {`,"interval":300,"expires_in":300`, []string{goodAnswer}, nil, ErrDeviceExpired},
		"longer than the code":            {`,"interval":301,"expires_in":300`, []string{goodAnswer}, nil, ErrDeviceExpired},
		"longer than a code without life": {`,"interval":1000`, []string{goodAnswer}, nil, ErrDeviceExpired},
	} {
		d, err := parseDeviceAuthorization(fmt.Appendf(nil, deviceAnswer, test.fields), time.Unix(0, 0))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		asked, err := poll(t, d.interval, d.ExpiresAt.Sub(time.Unix(0, 0)), test.answers...)
		if fmt.Sprint(asked) != fmt.Sprint(test.want) || !errors.Is(err, test.err) {
			t.Errorf("%s: asked after %v, not %v: %v", name, asked, test.want, err)
		}
	}
}

func TestB29TheCodeExpires(t *testing.T) {
	asked, err := poll(t, 5*time.Second, 12*time.Second, pending)
	if !errors.Is(err, ErrDeviceExpired) || len(asked) != 2 {
		t.Errorf("B29: asked after %v, %v", asked, err)
	}
}

func TestB29ARefusedDevice(t *testing.T) {
	_, err := poll(t, time.Second, time.Minute, pending, `{"error":"access_denied","error_description":"no\u001b[31m"}`)
	var refused *AuthorizationError
	if !errors.As(err, &refused) || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("B29: %v", err)
	}
}

func TestB29CtrlCEndsThePolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Client{HTTP: &http.Client{Transport: &script{answers: []string{pending}}}, Now: time.Now, Metadata: &discovery.Metadata{TokenEndpoint: "https://x/token"}}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(7*time.Second, cancel)
		start := time.Now()
		_, err := c.DeviceToken(ctx, &DeviceAuthorization{interval: 5 * time.Second, ExpiresAt: start.Add(time.Hour)})
		if !errors.Is(err, context.Canceled) || time.Since(start) != 7*time.Second {
			t.Errorf("B29: %v after %s", err, time.Since(start))
		}
	})
}

func TestDeviceRequest(t *testing.T) {
	var form url.Values
	c, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		form = r.PostForm
		fmt.Fprintf(w, deviceAnswer, "")
	})
	if _, err := c.AuthorizeDevice(t.Context(), AuthorizationParams{}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("without an endpoint: %v", err)
	}
	c.Metadata.DeviceAuthorizationEndpoint = c.Metadata.TokenEndpoint
	params := AuthorizationParams{Scopes: []string{"openid", "email"}, Resources: []string{"https://a.example", "https://b.example"}, Extra: map[string]string{"audience": "api"}}
	d, err := c.AuthorizeDevice(t.Context(), params)
	if err != nil || d.UserCode != "WDJB-MJHT" || d.VerificationURI != "https://sso.example.com/device" {
		t.Fatalf("%+v, %v", d, err)
	}
	if form.Get("client_id") != "fob" || form.Get("scope") != "openid email" || len(form["resource"]) != 2 || form.Get("audience") != "api" {
		t.Errorf("%v", form)
	}
	if len(params.Extra) != 1 {
		t.Errorf("the caller's parameters were changed: %v", params)
	}
}

func FuzzDeviceAuthorization(f *testing.F) {
	f.Add(fmt.Appendf(nil, deviceAnswer, `,"interval":-1,"expires_in":1e18`))
	f.Add([]byte(`{"device_code":"x","user_code":"\u001b","verification_uri":"javascript:x"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		now := time.Unix(1_800_000_000, 0)
		d, err := parseDeviceAuthorization(body, now)
		if err != nil {
			return
		}
		if d.interval < time.Second || d.interval > max(d.ExpiresAt.Sub(now), time.Second) || !d.ExpiresAt.After(now) || d.ExpiresAt.Sub(now) > maxCodeLife {
			t.Fatalf("B29: every %s until %s", d.interval, d.ExpiresAt)
		}
		if CheckURL(d.VerificationURI) != nil || d.VerificationURIComplete != "" && CheckURL(d.VerificationURIComplete) != nil {
			t.Fatalf("D39: %q, %q", d.VerificationURI, d.VerificationURIComplete)
		}
		if d.UserCode == "" || strings.ContainsAny(d.UserCode, "\x1b\n\r\x00") {
			t.Fatalf("H61: %q", d.UserCode)
		}
	})
}
