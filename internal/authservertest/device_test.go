package authservertest

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func polling(deviceCode string, pairs ...string) url.Values {
	return change(url.Values{"grant_type": {grantDevice}, "client_id": {"fob-test"}, "device_code": {deviceCode}}, pairs)
}

// beginDevice is an answer of the device authorization endpoint.
func (s *Server) beginDevice(t *testing.T) reply {
	t.Helper()
	r := s.post("/device_authorization", url.Values{"client_id": {"fob-test"}, "scope": {"openid offline_access"}})
	if r.status != http.StatusOK || len(r.text("user_code")) != 9 || r.text("user_code")[4] != '-' {
		t.Fatalf("%+v", r)
	}
	return r
}

// patient makes the next poll of a device's come in time.
func (s *Server) patient() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.devices {
		d.polled = d.polled.Add(-time.Hour)
	}
}

func TestADeviceSignsIn(t *testing.T) {
	s := start(t, Options{})
	device := s.beginDevice(t)
	if r := s.post("/token", polling(device.text("device_code"))); r.text("error") != "authorization_pending" {
		t.Errorf("%+v", r)
	}
	if r := s.post("/token", polling(device.text("device_code"))); r.text("error") != "slow_down" {
		t.Errorf("too early: %+v", r)
	}
	if page := fetch(t, http.DefaultClient, s.Issuer()+"/device", ""); !strings.Contains(page, `name="user_code"`) {
		t.Errorf("%s", page)
	}
	typed := strings.ToLower(strings.ReplaceAll(device.text("user_code"), "-", " "))
	if page := fetch(t, http.DefaultClient, s.Issuer()+"/device?user_code="+url.QueryEscape(typed), ""); !strings.Contains(page, device.text("user_code")) || !strings.Contains(page, "fob-test") {
		t.Errorf("%s", page)
	}
	if _, _, err := Approve(t.Context(), device.text("verification_uri_complete"), http.DefaultClient); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Approve(t.Context(), device.text("verification_uri_complete"), http.DefaultClient); err == nil {
		t.Error("a code is good twice")
	}
	s.patient()
	if r := s.post("/token", polling(device.text("device_code"), "client_id", "fob-localhost")); r.text("error") != "invalid_grant" {
		t.Errorf("another client: %+v", r)
	}
	s.patient()
	r := s.post("/token", polling(device.text("device_code")))
	if r.text("refresh_token") == "" || r.text("id_token") == "" || !s.Introspect(r.text("access_token")) {
		t.Errorf("%+v", r)
	}
	s.patient()
	if r := s.post("/token", polling(device.text("device_code"))); r.text("error") != "invalid_grant" {
		t.Errorf("once more: %+v", r)
	}
	if s.Count("device") != 1 || s.Count("token/device") != 5 {
		t.Errorf("%d devices, %d polls", s.Count("device"), s.Count("token/device"))
	}
}

func TestDevicesThatDoNotSignIn(t *testing.T) {
	s := start(t, Options{})
	denied := s.beginDevice(t)
	if r := s.post("/device", url.Values{"user_code": {denied.text("user_code")}, "answer": {"no"}}); r.status != http.StatusOK {
		t.Errorf("%+v", r)
	}
	if r := s.post("/token", polling(denied.text("device_code"))); r.text("error") != "access_denied" {
		t.Errorf("%+v", r)
	}
	if r := s.post("/token", polling("guessed")); r.text("error") != "invalid_grant" {
		t.Errorf("%+v", r)
	}
	for name, form := range map[string]url.Values{
		"unauthorized_client": {"client_id": {"fob-ci"}},
		"invalid_client":      {"client_id": {"nobody"}},
		"invalid_target":      {"client_id": {"fob-test"}, "resource": {"https://evil.example/"}},
		"invalid_request":     {"client_id": {"fob-test"}, "scope": {"a", "b"}},
	} {
		if r := s.post("/device_authorization", form); r.text("error") != name {
			t.Errorf("%s: %+v", name, r)
		}
	}
	late := start(t, Options{DeviceLifetime: time.Nanosecond, DeviceInterval: 7})
	device := late.beginDevice(t)
	if r := late.post("/token", polling(device.text("device_code"))); r.text("error") != "expired_token" || device.m["interval"] != 7.0 {
		t.Errorf("%+v", r)
	}
}
