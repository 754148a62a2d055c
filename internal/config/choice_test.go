package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// project makes a folder with folders in it and goes into the innermost. The root has
// no ProjectFile, or these tests would find it.
func project(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(root, "a", "b", "c")
	if err := os.MkdirAll(inner, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(inner)
	return root
}

func TestNamed(t *testing.T) {
	root := project(t, map[string]string{"a/.fob.toml": "# ours\nprofile = \"near\"\n", ".fob.toml": "profile = 'far'"})
	for _, test := range []struct {
		arg, env string
		want     Choice
	}{
		{"b", "c", Choice{"b", ByArgument}},
		{"", "c", Choice{"c", ByVariable}},
		{"", "", Choice{"near", filepath.Join(root, "a", ProjectFile)}},
	} {
		if got, err := Named(test.arg, env("FOB_PROFILE", test.env), nil); got != test.want || err != nil {
			t.Errorf("Named(%q, %q) = %v, %v", test.arg, test.env, got, err)
		}
	}
	t.Chdir(root)
	if got, err := Named("", env(), nil); got.Name != "far" || err != nil {
		t.Errorf("in the folder itself: %v, %v", got, err)
	}
	project(t, nil)
	if got, err := Named("", env(), nil); got != (Choice{}) || err != nil {
		t.Errorf("without a file: %v, %v", got, err)
	}
}

func TestProjectFileOnlyNamesAProfile(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "invalid profile name",
		"profile = \"\"":                  "invalid profile name",
		"profile = \"Work\"":              "invalid profile name",
		"profile = \"../x\"":              "invalid profile name",
		"profile = 1":                     "wrong type",
		"profile = work":                  ":1:",
		"profile = \"w\"\nstorage = \"\"": `:2:1: there is no setting "storage"`,
		"profile = \"w\"\nissuer = 1":     `there is no setting "issuer"`,
		"[profile.work]\nissuer = \"x\"":  ":1:",
		"passphrase_command = [\"id\"]":   `there is no setting "passphrase_command"`,
		"profile = \"\x1b]52;c;x\a\"":     "",
		"\x00":                            "",
		"profile = \"w\"\n#" + strings.Repeat("x", maxProjectFile): "more than",
	} {
		root := project(t, map[string]string{"a/.fob.toml": text, ".fob.toml": "profile = \"far\""})
		got, err := Named("", env(), nil)
		var parse *ParseError
		if got.Name != "" || !errors.As(err, &parse) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), filepath.Join(root, "a", ProjectFile)) || strings.ContainsAny(err.Error(), "\x1b\a\n") {
			t.Errorf("%.40q: %v, %v", text, got, err)
		}
		if want != "more than" && (err == nil || !strings.Contains(err.Error(), "names a profile")) {
			t.Errorf("%.40q: %v", text, err)
		}
		if got, err := Named("", env("FOB_PROFILE", "x"), nil); got.Name != "x" || err != nil {
			t.Errorf("%.40q: it is read though FOB_PROFILE is set: %v, %v", text, got, err)
		}
	}
}

func TestUnreadableProjectFileIsNotSkipped(t *testing.T) {
	for name, plant := range map[string]func(path string) error{
		"a folder":        func(path string) error { return os.Mkdir(path, 0o700) },
		"a dangling link": func(path string) error { return os.Symlink("nowhere", path) },
		"a device":        func(path string) error { return os.Symlink(os.DevNull, path) },
		"a loop":          func(path string) error { return os.Symlink(path, path) },
	} {
		root := project(t, map[string]string{".fob.toml": "profile = \"far\""})
		if err := plant(filepath.Join(root, "a", "b", ProjectFile)); err != nil {
			t.Skip(err)
		}
		var parse *ParseError
		if got, err := Named("", env(), nil); got.Name != "" || !errors.As(err, &parse) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	root := project(t, map[string]string{"mine": "profile = \"linked\""})
	if err := os.Symlink(filepath.Join(root, "mine"), filepath.Join(root, "a", ProjectFile)); err != nil {
		t.Skip(err)
	}
	if got, err := Named("", env(), nil); got.Name != "linked" || err != nil {
		t.Errorf("a link to a file: %v, %v", got, err)
	}
}

func TestSelect(t *testing.T) {
	two := &Config{Profiles: map[string]Profile{"a": {Name: "a"}, "b": {Name: "b"}}}
	withDefault := &Config{Default: "b", Profiles: two.Profiles}
	lost := &Config{Default: "c", Profiles: two.Profiles}
	one := &Config{Profiles: map[string]Profile{"a": {Name: "a"}}}
	for _, test := range []struct {
		config    *Config
		named     Choice
		want, err string
	}{
		{two, Choice{"b", ByArgument}, ByArgument, ""},
		{two, Choice{"a", ByVariable}, ByVariable, ""},
		{withDefault, Choice{}, ByDefault, ""},
		{withDefault, Choice{"a", "/p/.fob.toml"}, "/p/.fob.toml", ""},
		{one, Choice{}, BySole, ""},
		{two, Choice{}, "", "which profile? there are: a, b"},
		{two, Choice{"c", ByArgument}, "", `no profile "c"; there are: a, b`},
		{one, Choice{"c", ByVariable}, "", `no profile "c" (named by FOB_PROFILE)`},
		{one, Choice{"c", "/\x1b/.fob.toml"}, "", `no profile "c" (named by //.fob.toml)`},
		{lost, Choice{}, "", `no profile "c" (named by 'default' in config.toml)`},
		{&Config{}, Choice{}, "", "the configuration has none"},
	} {
		p, choice, err := test.config.Select(test.named)
		if choice.By != test.want || p.Name != choice.Name || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("Select(%v) = %q, %v, %v", test.named, p.Name, choice, err)
		}
	}
}
