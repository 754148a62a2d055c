package oauth

import "testing"

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
