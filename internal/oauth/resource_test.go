package oauth

import (
	"strings"
	"testing"
)

func TestResourceIndicators(t *testing.T) {
	for _, good := range []string{"https://api.example.com/v1", "http://127.0.0.1:8080/api", "urn:example:api", "api://6e74172b-be56-4843-9ff4-e66a39bb12e3"} {
		if err := CheckResource(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "api", "not a URI", "/path", "-flag", "https:", "http://api.example.com", "https://x/#part", "urn:x#part", "urn:a b", "urn:x\nhttps://y", "urn:\x1b[31m", "urn:é",
	} {
		if CheckResource(bad) == nil {
			t.Errorf("D39 %q is accepted", bad)
		}
	}
}

func TestD39URLs(t *testing.T) {
	for _, good := range []string{"https://x", "https://x.example:8443/a/b?c=d&e=%20", "http://127.0.0.1:8080/x", "http://localhost", "http://[::1]:9/"} {
		if err := CheckURL(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{
		"", "http://sso.example.com", "http://127.0.0.1.evil.test", "http://localhost.evil.test", "file:///etc/passwd", "javascript:alert(1)",
		`\\host\x`, "-flag", "--app=https://x", "$(x)", "https://x/`id`", "https://x/\nhttps://y", "https://x/\x00", "https://x y", " https://x",
		"https://u@x", "https://u:p@x", "https://x#f", "https://", "https:x", "//x", "https://x/<script>", "https://x/\u202e", "HTTP://x", "https://x/\x1b[31m", "https://x/{y}",
		"https://x/" + strings.Repeat("a", 9000),
	} {
		if CheckURL(bad) == nil {
			t.Errorf("D39 %q is accepted", bad)
		}
	}
}
