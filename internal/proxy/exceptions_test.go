package proxy

import "testing"

func TestH63AllowedHostsAreNoExceptions(t *testing.T) {
	var allow []Origin
	for _, text := range []string{"api.example.com", "git.example.org:8443", "http://127.0.0.1:8080", "https://[2001:db8::1]"} {
		origin, err := ParseOrigin(text)
		if err != nil {
			t.Fatal(err)
		}
		allow = append(allow, origin)
	}
	for list, want := range map[string]string{
		"":                                  "",
		"*":                                 "",
		"api.example.com":                   "",
		".example.com, other.example":       "other.example",
		"EXAMPLE.com other.example":         "other.example",
		"*.example.com,com,10.0.0.0/8":      "10.0.0.0/8",
		"api.example.com:443,git.corp:8443": "git.corp:8443",
		"example.org:8443,api.example":      "api.example",
		"127.0.0.0/8,::2,localhost":         "::2,localhost",
		"127.0.0.1,2001:db8::/32,10.1.2.3":  "10.1.2.3",
		"[2001:db8::1]:443,2001:db8::2":     "2001:db8::2",
	} {
		if got := Exceptions(list, allow); got != want {
			t.Errorf("%q became %q, not %q", list, got, want)
		}
	}
}
