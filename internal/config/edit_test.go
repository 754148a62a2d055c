package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const handWritten = `# fob, my settings
default = "play" # the one I use

# --- at work ---
[profile.work] # the company
issuer    = "https://sso.example.com" # aligned by hand
scopes = [
  "openid", # who I am
  'email',
]
client_id = """fob"""

# --- at home ---
[profile."play"]
provider = "github"

# the end
`

func TestSaveProfileIsSurgical(t *testing.T) {
	path := write(t, handWritten)
	c, err := Load("", path, env())
	if err != nil {
		t.Fatal(err)
	}
	p := c.Profiles["work"]
	p.ClientID = "fob-2"
	p.Storage = "file"
	if err := SaveProfile(path, p); err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(handWritten, `client_id = """fob"""`+"\n", "client_id = \"fob-2\"\nstorage = \"file\"\n", 1)
	if got, _ := os.ReadFile(path); string(got) != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	p.Scopes = []string{"openid"}
	p.Storage = ""
	if err := SaveProfile(path, p); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); !strings.Contains(string(got), "# who I am\nscopes = [\"openid\"]\nclient_id = \"fob-2\"\n\n# --- at home") {
		t.Errorf("got:\n%s", got)
	}
}

func TestEdits(t *testing.T) {
	add := func(path string) error { return SaveProfile(path, Profile{Name: "new", ClientID: "x"}) }
	allowDotenv := func(path, folder string) error {
		return Edit(path, func(c *Config) { c.Destination.DotenvRoots = append(c.Destination.DotenvRoots, folder) })
	}
	for name, test := range map[string]struct {
		before string
		do     func(string) error
		after  string
	}{
		"first profile":      {"", add, "[profile.new]\nclient_id = \"x\"\n"},
		"only a comment":     {"# mine\n", add, "# mine\n\n[profile.new]\nclient_id = \"x\"\n"},
		"no final newline":   {"default = \"a\"", add, "default = \"a\"\n\n[profile.new]\nclient_id = \"x\"\n"},
		"CRLF":               {"# a\r\ndefault = \"a\"\r\n", add, "# a\r\ndefault = \"a\"\r\n\r\n[profile.new]\r\nclient_id = \"x\"\r\n"},
		"comment at the end": {"default = \"a\"\n# end", add, "default = \"a\"\n# end\n\n[profile.new]\nclient_id = \"x\"\n"},
		"into a last table":  {"[profile.new]\nissuer = \"i\"", func(p string) error { return SaveProfile(p, Profile{Name: "new", Issuer: "i", ClientID: "x"}) }, "[profile.new]\nissuer = \"i\"\nclient_id = \"x\"\n"},
		"dotted keys":        {"[profile]\nnew.client_id = \"y\" # c\n", add, "[profile]\nnew.client_id = \"x\" # c\n"},
		"default, empty":     {"", func(p string) error { return Edit(p, func(c *Config) { c.Default = "a" }) }, "default = \"a\"\n"},
		"a dotenv root":      {"", func(p string) error { return allowDotenv(p, "/srv/a b") }, "[destination]\ndotenv_roots = [\"/srv/a b\"]\n"},
		"another root":       {"[destination]\nas = { github = \"token/work\" }\ndotenv_roots = [\"/srv\"] # mine\n", func(p string) error { return allowDotenv(p, "/opt") }, "[destination]\nas = { github = \"token/work\" }\ndotenv_roots = [\"/srv\", \"/opt\"] # mine\n"},
		"default, on top":    {"# mine\n\n[profile.a]\nissuer = \"i\"\n", func(p string) error { return Edit(p, func(c *Config) { c.Default = "a" }) }, "# mine\n\ndefault = \"a\"\n\n[profile.a]\nissuer = \"i\"\n"},
		"default, changed":   {"storage = 'file' # s\ndefault = 'b'   # d\n", func(p string) error { return Edit(p, func(c *Config) { c.Default = "a" }) }, "storage = 'file' # s\ndefault = \"a\"   # d\n"},
		"removed":            {"default = \"new\"\n# about new\n[profile.new]\n# inside\nclient_id = \"x\"\n\n# about b\n[profile.b]\nissuer = \"i\"\n", func(p string) error { return RemoveProfile(p, "new") }, "# about new\n\n# about b\n[profile.b]\nissuer = \"i\"\n"},
		"a strange value":    {"", func(p string) error { return SaveProfile(p, Profile{Name: "new", ClientID: "a\"\\\n\té"}) }, "[profile.new]\nclient_id = \"a\\\"\\\\\\u000A\\u0009é\"\n"},
		"nothing to do":      {"[profile.new]\nclient_id='x'", add, "[profile.new]\nclient_id='x'"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, test.before)
			if err := test.do(path); err != nil {
				t.Fatal(err)
			}
			if got, _ := os.ReadFile(path); string(got) != test.after {
				t.Errorf("got:\n%q\nwant:\n%q", got, test.after)
			}
		})
	}
}

func TestWhatCannotBeEditedIsLeftAlone(t *testing.T) {
	for name, text := range map[string]string{
		"inline table": "profile = { new = { client_id = \"y\" } }\n",
		"broken":       "default = \n",
		"unknown":      "[keys]\ncolour = \"blue\"\n",
	} {
		path := write(t, text)
		err := SaveProfile(path, Profile{Name: "new", ClientID: "x"})
		var parse *ParseError
		if !errors.Is(err, ErrEditByHand) && !errors.As(err, &parse) {
			t.Errorf("%s: %v", name, err)
		}
		if got, _ := os.ReadFile(path); string(got) != text {
			t.Errorf("%s: the file is now %q", name, got)
		}
	}
}

func TestA9TwoLoginsAtOnceKeepBothProfiles(t *testing.T) {
	path := write(t, handWritten)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if err := SaveProfile(path, Profile{Name: fmt.Sprintf("p%d", i), ClientID: "x"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if c, err := Load("", path, env()); err != nil || len(c.Profiles) != 22 {
		t.Errorf("%d profiles, %v", len(c.Profiles), err)
	}
}

func FuzzSaveProfile(f *testing.F) {
	f.Add(handWritten, "work", "fob-2")
	f.Add("profile = { a = { issuer = 'x' } }", "a", "y")
	f.Add("[profile]\na.issuer = '''x\n'''\n[profile.b]", "b", "\"\\")
	f.Add("\ufeff# c\r\n[profile.a]\r\n", "a", "x")
	f.Fuzz(func(t *testing.T, text, name, clientID string) {
		path := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		before, err := Load("", path, env())
		if err != nil || CheckName(name) != nil {
			t.Skip()
		}
		p := before.Profiles[name]
		p.Name, p.ClientID, p.Scopes = name, clientID, append(slices.Clone(p.Scopes), clientID)
		if SaveProfile(path, p) != nil {
			if got, _ := os.ReadFile(path); string(got) != text {
				t.Fatalf("a refused write changed %q to %q", text, got)
			}
			return
		}
		after, err := Load("", path, env())
		if err != nil {
			t.Fatal(err)
		}
		if before.Profiles == nil {
			before.Profiles = map[string]Profile{}
		}
		before.Profiles[name] = p
		if !after.isEquivalent(before) {
			t.Fatalf("%q became something else", text)
		}
		got, _ := os.ReadFile(path)
		for line := range strings.Lines(text) {
			if comment := strings.TrimSpace(line); strings.HasPrefix(comment, "#") && !strings.Contains(string(got), comment) {
				t.Fatalf("the comment %q is gone from %q", comment, got)
			}
		}
	})
}

// A backup writes the settings of every profile: twice as many take twice the work.
func TestMarshal_IsLinear(t *testing.T) {
	allocations := func(count int) float64 {
		profiles := make([]Profile, count)
		for i := range profiles {
			profiles[i] = Profile{Name: fmt.Sprintf("p%d", i), Issuer: "https://sso.example.com", ClientID: "fob", Storage: "file"}
		}
		return testing.AllocsPerRun(3, func() { Marshal(profiles, nil) })
	}
	if few, many := allocations(50), allocations(100); many > 2.5*few {
		t.Errorf("%v allocations for 50 profiles, %v for 100", few, many)
	}
}
