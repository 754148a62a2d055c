package credhelper

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/secret"
)

var registries = []Rule{
	{registryPlace("ghcr.io"), "github", ""},
	{registryPlace("https://index.docker.io/v1/"), "hub", ""},
	{registryPlace("registry.example.com:5000"), "work", ""},
}

func TestRegistries(t *testing.T) {
	for name, want := range map[string]string{
		"ghcr.io": "github", "https://ghcr.io": "github", "GHCR.io:443\n": "github", "https://ghcr.io/v2/": "github",
		"https://index.docker.io/v1/": "hub", "index.docker.io": "hub", "docker.io": "hub", "https://docker.io/v2/": "hub", "registry.example.com:5000": "work",
		// H63
		"ghcr.io.evil.test": "", "evil-ghcr.io": "", "ghcr.io.": "", "ghcr.io:5000": "", "http://ghcr.io": "", "ghcr.io@evil.test": "",
		"evil.test/ghcr.io": "", "ghcr.io/evil": "", "ghcr.io/v2/../x": "", "gh\u0441r.io": "", "https://ghcr.io?x": "", "ssh://ghcr.io": "",
		"index.docker.io.evil.test/v1/": "", "registry.example.com": "", "https:ghcr.io": "", "//ghcr.io": "", "https://": "", ".": "",
	} {
		_, place, err := ReadRegistry(strings.NewReader(name))
		if err != nil {
			t.Errorf("%q: %v", name, err)
		}
		found := Choose(registries, place, "")
		if want == "" && len(found) != 0 || want != "" && (len(found) != 1 || found[0].Profile != want) {
			t.Errorf("%q: %v, not %q", name, found, want)
		}
	}
}

func TestH62RegistriesThatAreRefused(t *testing.T) {
	for _, input := range []string{"", "\n", "ghcr.io\nevil.test", "ghcr.io\n\n", "ghcr.io\r\n", "a\rghcr.io", "ghcr.io\x00.evil.test", "\x1b[2Jghcr.io", strings.Repeat("x", maxRegistry+1)} {
		if name, place, err := ReadRegistry(strings.NewReader(input)); !errors.Is(err, ErrInput) {
			t.Errorf("%q is %q, %s, %v", input, name, place, err)
		}
	}
	for _, wrong := range []string{"", "http://ghcr.io", "ghcr.io/acme", "ghcr.io.", "a@ghcr.io", "*.io"} {
		if place, err := ParseRegistry(wrong); err == nil {
			t.Errorf("%q is taken for %s", wrong, place)
		}
	}
}

func TestDockersAnswer(t *testing.T) {
	for username, want := range map[string]string{
		"":        `{"ServerURL":"ghcr.io","Username":"oauth2","Secret":"tok"}` + "\n",
		"<token>": `{"ServerURL":"ghcr.io","Username":"<token>","Secret":"tok"}` + "\n",
	} {
		var out bytes.Buffer
		if err := WriteDocker(&out, "ghcr.io", Credential{Username: username, Token: secret.New("tok")}); err != nil || out.String() != want {
			t.Errorf("%v, %s", err, out.String())
		}
	}
	var out bytes.Buffer
	if err := WriteDocker(&out, "ghcr.io", Credential{Token: secret.New("a\nb")}); err == nil || out.Len() > 0 {
		t.Error("a token of two lines was written")
	}
}

func TestListDocker(t *testing.T) {
	var out bytes.Buffer
	err := ListDocker(&out, map[string]string{"ghcr.io": "x-access-token", "https://index.docker.io/v1/": "<token>"})
	if want := `{"ghcr.io":"x-access-token","https://index.docker.io/v1/":"<token>"}` + "\n"; err != nil || out.String() != want {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// A registry is refused, or answered under exactly the name that it was asked by.
func FuzzDocker(f *testing.F) {
	f.Add("ghcr.io")
	f.Add("https://index.docker.io/v1/\n")
	f.Fuzz(func(t *testing.T, input string) {
		name, place, err := ReadRegistry(strings.NewReader(input))
		if err != nil || len(Choose(registries, place, "")) == 0 {
			return
		}
		if lower := strings.ToLower(name); !strings.Contains(lower, "ghcr.io") && !strings.Contains(lower, "index.docker.io") && !strings.Contains(lower, "registry.example.com:5000") {
			t.Errorf("%q is answered", name)
		}
		var out bytes.Buffer
		if err := WriteDocker(&out, name, Credential{Token: secret.New("tok")}); err != nil {
			t.Fatal(err)
		}
		var answer struct{ ServerURL string }
		if err := json.Unmarshal(out.Bytes(), &answer); err != nil || answer.ServerURL != strings.ToValidUTF8(name, "\uFFFD") && answer.ServerURL != name {
			t.Errorf("%q is answered as %q, %v", name, answer.ServerURL, err)
		}
	})
}
