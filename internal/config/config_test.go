package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	c, err := Load("", write(t, "default = \"work\"\n[profile.work]\nissuer = \"https://x\"\nscopes = [\"a\", \"b\"]\n"), env())
	if err != nil {
		t.Fatal(err)
	}
	want := Profile{Name: "work", Issuer: "https://x", Scopes: []string{"a", "b"}}
	if !reflect.DeepEqual(c.Profiles["work"], want) || c.Default != "work" {
		t.Errorf("Load() = %+v", c)
	}
	if c, err := Load("", filepath.Join(t.TempDir(), "none"), env()); err != nil || len(c.Profiles) != 0 {
		t.Errorf("a missing file: %+v, %v", c, err)
	}
}

func TestTheGrantOfAPersonIsNone(t *testing.T) {
	c, err := Load("", write(t, "[profile.work]\ngrant = \"authorization_code\"\n"), env())
	if err != nil || c.Profiles["work"].Grant != "" {
		t.Errorf("Load() = %+v, %v", c, err)
	}
}

func TestLoadErrorsSayWhere(t *testing.T) {
	for text, want := range map[string]string{
		"default = work":                                ":1:11: ",
		"# x\n[keys]\nrequire_peper = true":             ":3:1: there is no setting \"keys.require_peper\"",
		"[secret.a]\ntoo = []":                          ":2:1: there is no setting \"secret.a.too\"",
		"[profile.work]\nscopes = \"a\"":                ":2:",
		"[profile.\"Work!\"]":                           "invalid profile name",
		"[profile.work]\nissuer = \"a\"\nissuer = 1":    ":3:",
		"[profile.work]\ngrant = \"client_credential\"": "there is no grant \"client_credential\": choose one of authorization_code, ",
		"\x00": "",
	} {
		_, err := Load("", write(t, text), env())
		var parse *ParseError
		if !errors.As(err, &parse) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestValidName(t *testing.T) {
	for _, name := range []string{"a", "work", "0-1", strings.Repeat("x", 63)} {
		if err := CheckName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"", "-a", "A", "a/b", "..", "a.b", "a b", "é", "a\n", strings.Repeat("x", 64)} {
		if CheckName(name) == nil {
			t.Errorf("%q is accepted", name)
		}
	}
}

func TestWithProvider(t *testing.T) {
	p := Profile{Provider: "github", Scopes: []string{"repo"}}.WithProvider()
	if p.Authority() != "https://github.com/login/oauth" || fmt.Sprint(p.Scopes) != "[repo]" || p.RedirectURI != "http://127.0.0.1/callback" {
		t.Errorf("%+v", p)
	}
	if p := (Profile{Provider: "okta", Issuer: "https://acme.okta.com"}).WithProvider(); p.Issuer != "https://acme.okta.com" || p.RedirectURI != "http://localhost:8976/callback" {
		t.Errorf("%+v", p)
	}
}

// A command about one profile does not parse a thousand others.
func TestLoad_OmitsOtherProfiles(t *testing.T) {
	const (
		before = "default = \"home\"\n[profile.home]\nissuer = \"https://home\"\nscopes = [\n  \"a\",\n]\n"
		wanted = "  [profile.work] # mine\nissuer = \"https://work\"\n"
		after  = "[profile.\"other\"]\nissuer = \"https://other\"\n[secret.x]\nto = [\"exec:a\"]\n[profile.last]\n"
	)
	for _, test := range []struct {
		name, text, profile string
		profiles            int
	}{
		{"others", before + wanted + after, "work", 1},
		{"no profile", before + wanted + after, "", 4},
		{"an unknown profile", before + wanted + after, "none", 4},
		{"quoted", before + wanted + after, "other", 4},
		{"strings of several lines", before + wanted + after + "client_id = '''\n[profile.x]\n'''\n", "work", 4},
		{"another profile's login", before + wanted + "grant = \"id-jag\"\nvia = \"home\"\n" + after, "work", 4},
		{"an identity to withhold", before + wanted + after + "identity = \"env:ID\"\n", "work", 4},
	} {
		path := write(t, test.text)
		c, err := Load(test.profile, path, env())
		all, allErr := Load("", path, env())
		if err != nil || allErr != nil {
			t.Errorf("%s: %v, %v", test.name, err, allErr)
			continue
		}
		if len(c.Profiles) != test.profiles || len(all.Profiles) != 4 || c.Default != "home" || len(c.Secrets) != 1 || !reflect.DeepEqual(c.Profiles["work"], all.Profiles["work"]) {
			t.Errorf("%s: %+v", test.name, c)
		}
	}
	broken := write(t, before+wanted+"[secret.x]\nto = 1\n")
	_, err := Load("", broken, env())
	if _, errFor := Load("work", broken, env()); err == nil || errFor == nil || err.Error() != errFor.Error() {
		t.Errorf("an error moved: %v, %v", err, errFor)
	}
}

func BenchmarkLoad(b *testing.B) {
	path := filepath.Join(b.TempDir(), "config.toml")
	for _, name := range []string{"a", "b", "c"} {
		if err := SaveProfile(path, Profile{Name: name, Issuer: "https://sso.example.com", ClientID: "fob", Scopes: []string{"openid", "email"}}); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, err := Load("", path, env()); err != nil {
			b.Fatal(err)
		}
	}
}

// A setting of a newer fob makes only its own profile unusable.
func TestLoad_UnknownSettings(t *testing.T) {
	path := write(t, "new = 1\nnewer = 2\ndefault = \"work\"\n[profile.work]\nissuer = \"https://a.example\"\n[profile.play]\nisuer = \"x\"\nclient_id = \"c\"\n")
	c, err := Load("", path, env())
	if err != nil || c.Profiles["work"].Issuer == "" || c.Profiles["play"].ClientID != "c" {
		t.Fatalf("%+v, %v", c, err)
	}
	for name, want := range map[string]string{"": `:1:1: there is no setting "new"`, "play": `:7:1: there is no setting "profile.play.isuer"`, "work": "<nil>"} {
		if got := fmt.Sprint(c.Unknown(name)); !strings.HasSuffix(got, want) {
			t.Errorf("%q: %s", name, got)
		}
	}
	if _, _, err := c.Select(Choice{"work", ByArgument}); err != nil {
		t.Error(err)
	}
	var parse *ParseError
	if _, _, err := c.Select(Choice{"play", ByArgument}); !errors.As(err, &parse) {
		t.Error(err)
	}
	if err := c.Vet(c.Profiles["play"]); !errors.As(err, &parse) {
		t.Error(err)
	}
	// Other changes keep it.
	if err := SaveProfile(path, Profile{Name: "home", ClientID: "h"}); err != nil {
		t.Fatal(err)
	}
	if err := RemoveProfile(path, "home"); err != nil {
		t.Fatal(err)
	}
	if c, err = Load("", path, env()); err != nil || c.Unknown("") == nil || c.Unknown("play") == nil {
		t.Errorf("changed: %v, %v", c, err)
	}
	// In the workspace of a CI job it may be a commit's.
	if _, err := Load("", path, env("CI_PROJECT_DIR", filepath.Dir(path))); !errors.As(err, &parse) {
		t.Errorf("in a workspace: %v", err)
	}
}
