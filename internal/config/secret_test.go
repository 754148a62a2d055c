package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSecretNames(t *testing.T) {
	part := strings.Repeat("a", 63)
	for name, valid := range map[string]bool{
		"stripe": true, "stripe/prod": true, "a/b/c/d": true, "9-/x": true, part + "/" + part: true,
		"": false, "/": false, "a/": false, "/a": false, "a//b": false, "a/b/c/d/e": false, "A": false, "-a": false, "a/-b": false,
		"../x": false, "a/..": false, "a.b": false, "a b": false, "a\\b": false, part + "a": false, "é": false,
		part + "/" + part + "/" + part + "/" + part: false,
	} {
		if err := CheckSecretName(name); (err == nil) != valid {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestI81_VariablesOfSecretsAreShared(t *testing.T) {
	for name, variable := range map[string]string{
		"stripe": "FOB_SECRET_STRIPE", "db/prod": "FOB_SECRET_DB_PROD", "db-prod": "FOB_SECRET_DB_PROD", "a/b-c/d": "FOB_SECRET_A_B_C_D", "9-": "FOB_SECRET_9_",
	} {
		if got := SecretVariable(name); got != variable {
			t.Errorf("%s: %s, want %s", name, got, variable)
		}
	}
	for _, test := range []struct {
		name, configured, want string
	}{
		{"db-prod", "db/prod", "db/prod"}, {"db/prod", "db-prod", "db-prod"}, {"a/b/c", "a-b-c a-b/c", "a-b-c"}, {"a/b/c", "a/b/c a-b/c", "a-b/c"},
		{"db/prod", "db/prod", ""}, {"db/prod", "", ""}, {"db/prod", "db/prod2 db", ""}, {"a--b", "a-/b", "a-/b"},
	} {
		c := &Config{Secrets: map[string]Secret{}}
		for _, name := range strings.Fields(test.configured) {
			if err := CheckSecretName(name); err != nil {
				t.Fatal(err)
			}
			c.Secrets[name] = Secret{Name: name}
		}
		if got := c.SharingVariable(test.name); got != test.want {
			t.Errorf("%s beside %s: %q, want %q", test.name, test.configured, got, test.want)
		}
	}
}

// What a secret's table has by hand survives what commands write into it.
func TestSaveSecretIsSurgical(t *testing.T) {
	const text = `# my secrets
[secret."stripe/prod"] # payments
expires = 2027-01-01 # see the contract
to = [
  "dotenv:/srv/app/.env#STRIPE", # the shop
]

[secret.plain]
retire_with = "end"
`
	path := write(t, text)
	c, err := Load("", path, env())
	if err != nil {
		t.Fatal(err)
	}
	s := c.Secrets["stripe/prod"]
	if want := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC); !s.Expires.Equal(want) || s.Name != "stripe/prod" || len(s.To) != 1 {
		t.Errorf("%+v", s)
	}
	s.Storage = "file"
	s.Expires = time.Date(2028, 2, 3, 4, 5, 6, 0, time.UTC)
	if err := SaveSecret(path, s); err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(text, "2027-01-01 #", "2028-02-03T04:05:06Z #", 1)
	want = strings.Replace(want, "]\n\n[secret.plain]", "]\nstorage = \"file\"\n\n[secret.plain]", 1)
	if got, _ := os.ReadFile(path); string(got) != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if err := SaveSecret(path, Secret{Name: "open-ai/a/b", To: []string{"exec:x"}}); err != nil {
		t.Fatal(err)
	}
	want += "\n[secret.\"open-ai/a/b\"]\nto = [\"exec:x\"]\n"
	if got, _ := os.ReadFile(path); string(got) != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	for _, name := range []string{"open-ai/a/b", "plain", "stripe/prod"} {
		if err := RemoveSecret(path, name); err != nil {
			t.Fatal(err)
		}
	}
	if c, err = Load("", path, env()); err != nil || len(c.Secrets) != 0 {
		t.Errorf("%v, %v", c, err)
	}
	if got, _ := os.ReadFile(path); !strings.HasPrefix(string(got), "# my secrets\n") {
		t.Errorf("%s", got)
	}
}

func TestSecretsThatAreRefused(t *testing.T) {
	for _, text := range []string{"[secret.\"../x\"]", "[secret.a]\nexpires = 12", "[secret.a]\nexpires = 10:00:00", "[secret.a]\nexpires = \"soon\"", "[secret.a]\nvalue = \"x\""} {
		if _, err := Parse("config.toml", []byte(text)); err == nil {
			t.Errorf("%s: parsed", text)
		}
	}
}

// Two that start at once both see neither: the second to write is refused.
func TestI81_SecondNameIsRefusedUnderTheLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	if err := SaveSecret(path, Secret{Name: "db/prod"}); err != nil {
		t.Fatal(err)
	}
	if err := SaveSecret(path, Secret{Name: "db-prod"}); !errors.Is(err, ErrShared) {
		t.Error("a second name was saved:", err)
	}
	if err := Edit(path, func(c *Config) { c.Secrets["db-prod"] = Secret{Name: "db-prod"} }); err != nil { // as a restore does
		t.Error("restored:", err)
	}
	for _, name := range []string{"db/prod", "db-prod"} { // both exist
		if err := SaveSecret(path, Secret{Name: name, Storage: "file"}); err != nil {
			t.Error(name, err)
		}
	}
}
