package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// A setting that is new is refused in the workspace of a CI job until someone has
// decided otherwise, and this list has to be changed with it.
func TestI71_EverySettingIsJudged(t *testing.T) {
	for name, test := range map[string]struct {
		table  any
		judge  func(table any) string
		refuse []string
	}{
		"config.toml": {Config{}, func(table any) string {
			c := table.(Config)
			c.Keys = Keys{} // which has a case of its own
			return c.untrustedSetting()
		},
			[]string{"ca_file", "client_id_metadata_url", "commands", "destination", "env_files", "key_file", "passphrase_command"}},
		"[profile.NAME]": {Profile{}, func(table any) string { return table.(Profile).untrustedSetting() },
			[]string{"ca_file", "certificate_file", "certificate_key_file", "docker_registries", "git_hosts", "identity", "identity_command", "private_key_file", "subject_token_type", "trusted_audiences", "via"}},
		"[keys]": {Keys{}, func(table any) string { return (&Config{Keys: table.(Keys)}).untrustedSetting() },
			[]string{"add_pepper", "registry"}},
		"[serve]": {Serve{}, func(table any) string { return (&Config{Serve: table.(Serve)}).untrustedSetting() },
			nil},
		"[secret.NAME]": {Secret{}, func(table any) string {
			return (&Config{Secrets: map[string]Secret{"x": table.(Secret)}}).untrustedSetting()
		}, []string{"retire_with", "rotate_with", "to"}},
	} {
		var refused []string
		for i := range reflect.TypeOf(test.table).NumField() {
			field := reflect.TypeOf(test.table).Field(i)
			if !field.IsExported() {
				continue
			}
			set := reflect.New(reflect.TypeOf(test.table)).Elem()
			fill(set.Field(i))
			key := test.judge(set.Interface())
			if key != "" && key != field.Tag.Get("toml") {
				t.Errorf("%s: %s is refused as %q", name, field.Name, key)
			}
			if key != "" {
				refused = append(refused, key)
			}
		}
		if slices.Sort(refused); !slices.Equal(refused, test.refuse) {
			t.Errorf("%s: refused are %q, not %q", name, refused, test.refuse)
		}
	}
}

// fill sets a value to something.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i))
			}
		}
	}
}

func TestI71_IdentitiesOfAWorkspace(t *testing.T) {
	const kind = "urn:ietf:params:oauth:token-type:"
	for _, test := range []struct {
		p    Profile
		want string
	}{
		{Profile{}, ""},
		{Profile{Identity: "github"}, ""},
		{Profile{Identity: "gitlab"}, ""},
		{Profile{Identity: "env:ID_TOKEN"}, ""},
		{Profile{Identity: "file:/x"}, "identity"},
		{Profile{Identity: "command"}, "identity"},
		{Profile{Identity: "another"}, "identity"},
		{Profile{SubjectTokenType: kind + "jwt"}, ""},
		{Profile{SubjectTokenType: kind + "id_token"}, ""},
		{Profile{SubjectTokenType: kind + "access_token"}, "subject_token_type"},
		{Profile{SubjectTokenType: kind + "JWT"}, "subject_token_type"},
		{Profile{Grant: GrantJWTBearer, SubjectTokenType: "unused"}, ""},
	} {
		if got := test.p.untrustedSetting(); got != test.want {
			t.Errorf("%+v: %q, not %q", test.p, got, test.want)
		}
	}
}

func TestI71_ThePinHoldsForEveryEndpoint(t *testing.T) {
	const pin = "https://sso.example.com"
	google := Profile{Provider: "google"}.WithProvider()
	github := Profile{Provider: "github"}.WithProvider()
	pinned := func(issuer string) *Config { return &Config{trust: trust{path: "c", issuer: issuer}} }
	for _, test := range []struct {
		pin string
		p   Profile
		ok  bool
	}{
		{pin, Profile{Issuer: pin}, true},
		{pin, Profile{Issuer: pin + "/"}, false},
		{pin, Profile{Issuer: "https://SSO.example.com"}, false},
		{pin, Profile{Issuer: "https://sso.example.com.evil.test"}, false},
		{pin, Profile{TokenEndpoint: pin}, true},
		{pin, Profile{TokenEndpoint: "https://evil.test"}, false},
		{pin, Profile{Provider: "google"}, false},
		{pin, Profile{Provider: "google", Issuer: pin}, true},
		{pin, Profile{Provider: "github", Issuer: pin, TokenEndpoint: github.TokenEndpoint}, false},
		{google.Issuer, Profile{Provider: "google"}, true},
		{github.Issuer, Profile{Provider: "github"}, true},
		{github.Issuer, Profile{Provider: "github", RevocationEndpoint: "https://evil.test"}, false},
		{pin, Profile{Resources: []string{"https://api.example.com"}}, true}, // its server is to be found
	} {
		if err := pinned(test.pin).Vet(test.p); (err == nil) != test.ok {
			t.Errorf("%q: %+v: %v", test.pin, test.p, err)
		}
	}
	for _, s := range settingsOf(Profile{}) {
		if !strings.HasSuffix(s.key, "_endpoint") {
			continue
		}
		p := Profile{Name: "x", Issuer: pin}
		for i := range reflect.TypeFor[Profile]().NumField() {
			if reflect.TypeFor[Profile]().Field(i).Tag.Get("toml") == s.key {
				reflect.ValueOf(&p).Elem().Field(i).SetString("https://evil.test")
			}
		}
		var refused *TrustError
		if err := pinned(pin).Vet(p); !errors.As(err, &refused) || !strings.Contains(err.Error(), s.key) {
			t.Errorf("%s leads elsewhere: %v", s.key, err)
		}
	}
}

func TestI71_InWorkspace(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"ws/sub", "out/sub", "ws2"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"ws/in", "ws/sub/in", "out/file", "out/sub/file", "ws2/file"} {
		if err := os.WriteFile(filepath.Join(root, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"ws/leave": filepath.Join(root, "out/file"), "ws/sub/up": "../../out", "out/enter": "../ws/in", "out/dir": filepath.Join(root, "ws"),
		"out/through": filepath.Join(root, "ws/leave"), "out/plain": "file", "loop": "loop", "wslink": "ws",
	} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Skip(err)
		}
	}
	t.Chdir(filepath.Join(root, "ws", "sub"))
	for _, workspace := range []string{"ws", "wslink", "out/dir"} {
		getenv := env("GITHUB_WORKSPACE", filepath.Join(root, workspace))
		for path, want := range map[string]bool{
			root + "/ws/in": true, root + "/ws/sub/in": true, root + "/wslink/in": true, root + "/out/enter": true, root + "/out/dir/sub/in": true,
			root + "/ws/leave": true, root + "/ws/sub/up/file": true, root + "/out/through": true, root + "/out/../ws/in": true, root + "/loop": true,
			"in": true, "./in": true, "../in": true, "../leave": true, "../sub/in": true, "up/file": true, root + "/ws/sub/up/sub/../file": true,
			root + "/out/file": false, root + "/out/plain": false, root + "/ws2/file": false, "../../out/file": false, root + "/ws/../out/file": false,
			root + "/ws/sub/../../out/file": false, "../../ws2/file": false, root + "/none": false,
		} {
			if got := InWorkspace(path, getenv); got != want {
				t.Errorf("%s, from %s: %v", path, workspace, got)
			}
		}
		if InWorkspace(root+"/ws/in", env()) || InWorkspace(root+"/ws/in", env("WORKSPACE", root+"/ws")) || !InWorkspace(root+"/ws/in", env("WORKSPACE", root+"/ws", "JENKINS_URL", "x")) {
			t.Error("what counts as a workspace")
		}
	}
}

// What is not known is decided against the file.
func TestI71_UnknownWorkspace(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"ws/.git", "ws/sub", "plain/sub", "home/project"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"ws/fob.toml", "ws/sub/fob.toml", "plain/fob.toml", "plain/sub/fob.toml", "home/fob.toml", "home/project/fob.toml"} {
		if err := os.WriteFile(filepath.Join(root, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	missing := filepath.Join(root, "missing")
	for _, test := range []struct {
		dir, path string
		getenv    func(string) string
		want      bool
	}{
		{"plain", "ws/fob.toml", env(), false},
		{"plain", "ws/fob.toml", env("CI", "false"), false},
		{"ws/sub", "ws/fob.toml", env("CI", "true"), true},
		{"ws/sub", "ws/fob.toml", env("CIRCLECI", "true"), true},
		{"ws/sub", "ws/sub/fob.toml", env("TEAMCITY_VERSION", "2026.1"), true},
		{"ws/sub", "ws/fob.toml", env("BUILD_TAG", "jenkins-x-1"), true},
		{"ws/sub", "ws/fob.toml", env("JENKINS_HOME", "/var/lib/jenkins"), true},
		{"ws/sub", "home/fob.toml", env("CI", "true"), false},
		{"plain/sub", "plain/sub/fob.toml", env("CI", "1"), true},
		{"plain/sub", "plain/fob.toml", env("CI", "1"), false},
		{"plain", "ws/fob.toml", env("WORKSPACE", root+"/ws", "BUILD_TAG", "jenkins-x-1"), true},
		{"plain", "ws/fob.toml", env("CI", "true", "CIRCLE_WORKING_DIRECTORY", root+"/ws"), true},
		{"plain", "home/project/fob.toml", env("CIRCLECI", "true", "CIRCLE_WORKING_DIRECTORY", "~/project", "HOME", root+"/home"), true},
		{"plain", "home/fob.toml", env("CIRCLECI", "true", "CIRCLE_WORKING_DIRECTORY", "~/project", "HOME", root+"/home"), false},
		{"plain", "ws/fob.toml", env("TEAMCITY_BUILD_CHECKOUTDIR", root+"/ws"), true},
		{"plain", "ws/fob.toml", env("CI", "true", "CI_PROJECT_DIR", root+"/plain"), false},
		{"plain", "ws/fob.toml", env("GITHUB_WORKSPACE", missing), true},
		{"plain", "home/fob.toml", env("CIRCLE_WORKING_DIRECTORY", missing), true},
		{"plain", "ws/fob.toml", env("CI_PROJECT_DIR", root+"/plain", "CI_WORKSPACE", missing), true},
	} {
		t.Chdir(filepath.Join(root, test.dir))
		if got := InWorkspace(filepath.Join(root, test.path), test.getenv); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}
