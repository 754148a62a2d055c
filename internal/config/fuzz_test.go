package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A configuration is understood or refused; and one that is understood is changed
// in what was asked alone, or left as it is.
func FuzzConfig(f *testing.F) {
	f.Add("default = \"work\"\n[profile.work]\nissuer = \"https://sso.example.com\"\nscopes = [\"a\", \"b\"]\n")
	f.Add("# a comment\n[profile]\nwork = { issuer = 'https://x' }\n")
	f.Add("profile.work.issuer = \"\"\"\nx\"\"\"\npassphrase_command = [\"pass\", \"show\"]")
	f.Add("\ufeff[profile.\"work\"]\r\nclient_id = \"\\u0041\" # x\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		before, err := Parse("config.toml", []byte(text))
		if err != nil {
			return
		}
		path := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		changed := Profile{Name: "added", Issuer: "https://new.example.com", Scopes: []string{`"`, "é"}}
		if err := SaveProfile(path, changed); err != nil {
			if now, readErr := os.ReadFile(path); readErr != nil || string(now) != text {
				t.Errorf("refused (%v), and changed all the same", err)
			}
			return
		}
		added := Secret{Name: "added/by-hand", To: []string{"exec:x"}, Expires: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}
		if err := SaveSecret(path, added); err != nil {
			return
		}
		if before.Secrets == nil {
			before.Secrets = map[string]Secret{}
		}
		before.Secrets[added.Name] = added
		after, err := Load("", path, env())
		if err != nil {
			t.Fatalf("it no longer parses: %v", err)
		}
		if before.Profiles == nil {
			before.Profiles = map[string]Profile{}
		}
		before.Profiles["added"] = changed
		if !after.isEquivalent(before) {
			t.Errorf("it means something else now")
		}
	})
}

func TestMarshalIsParsedAsItWas(t *testing.T) {
	profiles := []Profile{
		{Name: "a", Issuer: "https://x/\"\\\u0007", Scopes: []string{"one", "t\"wo"}, Storage: "file"},
		{Name: "b-2"},
	}
	secrets := []Secret{{Name: "stripe/prod", To: []string{"dotenv:/srv/.env#KEY"}, RetireWith: "end"}, {Name: "plain"}}
	got, err := Parse("backup", Marshal(profiles, secrets))
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{Profiles: map[string]Profile{"a": profiles[0], "b-2": profiles[1]},
		Secrets: map[string]Secret{"stripe/prod": secrets[0], "plain": secrets[1]}}
	if !got.isEquivalent(want) {
		t.Errorf("%+v", got)
	}
}
