package helper

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/credhelper"
	"github.com/fobcli/fob/internal/httpclient"
)

const profiles = `
[profile.work]
issuer = "https://sso.example.com"
client_id = "fob"
git_hosts = ["https://git.example.com:8443", "https://shared.example.com/team"]
git_username = "me"
docker_registries = ["registry.example.com:5000"]
docker_username = "robot"
kubernetes_servers = ["https://k8s.example.com:6443"]
[profile.home]
provider = "github"
docker_registries = ["other.example.com"]
`

func newApp(t *testing.T, environ ...string) *cmdtest.App {
	t.Helper()
	return cmdtest.New(t, profiles, append([]string{"FOB_TOKEN_WORK=work-token", "FOB_TOKEN_HOME=home-token"}, environ...)...)
}

// run runs a helper with input, as the program that it is for would.
func run(a *cmdtest.App, input string, args ...string) (string, error) {
	a.In = strings.NewReader(input)
	stdout, _, err := a.Run(New, args...)
	return stdout, err
}

func TestGit_Get(t *testing.T) {
	for name, test := range map[string]struct {
		input string
		args  []string
		want  string // of stdout, exactly
	}{
		"a host of a profile":     {"protocol=https\nhost=git.example.com:8443\n\n", nil, "username=me\npassword=work-token\n"},
		"a path below one":        {"protocol=https\nhost=shared.example.com\npath=team/repo.git\n\n", nil, "username=me\npassword=work-token\n"},
		"another path":            {"protocol=https\nhost=shared.example.com\npath=other/repo.git\n\n", nil, ""},
		"a preset's host":         {"protocol=https\nhost=github.com\n\n", nil, "username=x-access-token\npassword=home-token\n"},
		"another port":            {"protocol=https\nhost=git.example.com\n\n", nil, ""},
		"plain http":              {"protocol=http\nhost=git.example.com:8443\n\n", nil, ""},
		"only this profile":       {"protocol=https\nhost=github.com\n\n", []string{"--profile", "work"}, ""},
		"an unknown host":         {"protocol=https\nhost=evil.example.com\n\n", nil, ""},
		"an Authorization header": {"capability[]=authtype\nprotocol=https\nhost=git.example.com:8443\n\n", nil, "capability[]=authtype\nauthtype=Basic\ncredential=bWU6d29yay10b2tlbg==\nephemeral=1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := run(newApp(t), test.input, append([]string{"git", "get"}, test.args...)...)
			if err != nil || got != test.want {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// On a failure git is told to stop, or it would go on and ask for a password.
func TestGit_FailureStopsGit(t *testing.T) {
	const quit = "quit=1\n"
	both := strings.ReplaceAll(profiles, "other.example.com\"]", "other.example.com\"]\ngit_hosts = [\"https://git.example.com:8443\"]")
	for name, test := range map[string]struct {
		config, input string
		args, environ []string
		stdout        string
		problem       string
	}{
		"no login":            {profiles, "protocol=https\nhost=git.example.com:8443\n\n", nil, []string{"FOB_TOKEN_WORK="}, quit, "not logged in"},
		"two profiles":        {both, "protocol=https\nhost=git.example.com:8443\n\n", nil, nil, quit, "are both for"},
		"an unknown profile":  {profiles, "protocol=https\nhost=git.example.com:8443\n\n", []string{"--profile", "none"}, nil, quit, `"none"`},
		"a host that is none": {strings.ReplaceAll(profiles, "https://git.example.com:8443", "git.example.com"), "protocol=https\nhost=x\n\n", nil, nil, quit, "git_hosts of profile"},
		"what git never says": {profiles, "protocol=https\rhost=git.example.com\n\n", nil, nil, "", "control character"},
		"an unfinished line":  {profiles, "protocol=https\nhost=git.example.com", nil, nil, "", "invalid input"},
	} {
		t.Run(name, func(t *testing.T) {
			a := cmdtest.New(t, test.config, append([]string{"FOB_TOKEN_WORK=x"}, test.environ...)...)
			got, err := run(a, test.input, append([]string{"git", "get"}, test.args...)...)
			if got != test.stdout || err == nil || !strings.Contains(err.Error(), test.problem) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// Where several profiles are for one host, --profile or the username decides.
func TestGit_OneOfTwoProfiles(t *testing.T) {
	config := strings.ReplaceAll(profiles, "other.example.com\"]", "other.example.com\"]\ngit_hosts = [\"https://git.example.com:8443\"]")
	for _, test := range []struct{ username, profile, want string }{
		{"", "work", "username=me\npassword=work-token\n"},
		{"", "home", "username=x-access-token\npassword=home-token\n"},
		{"username=me\n", "", "username=me\npassword=work-token\n"},
		{"username=x-access-token\n", "", "username=x-access-token\npassword=home-token\n"},
	} {
		args := []string{"git", "get"}
		if test.profile != "" {
			args = append(args, "--profile", test.profile)
		}
		a := cmdtest.New(t, config, "FOB_TOKEN_WORK=work-token", "FOB_TOKEN_HOME=home-token")
		if got, err := run(a, "protocol=https\nhost=git.example.com:8443\n"+test.username+"\n", args...); err != nil || got != test.want {
			t.Errorf("%+v: %q, %v", test, got, err)
		}
	}
}

func TestGit_OtherOperations(t *testing.T) {
	const asked = "protocol=https\nhost=git.example.com:8443\npassword=refused\n\n"
	for operation, want := range map[string]string{"store": "", "erase": "", "capability": "version 0\ncapability authtype\n"} {
		if got, err := run(newApp(t), asked, "git", operation); err != nil || got != want {
			t.Errorf("%s: %q, %v", operation, got, err)
		}
	}
	if got, err := run(newApp(t), "protocol=https\nhost=evil.example.com\n\n", "git", "erase"); err != nil || got != "" {
		t.Errorf("erase for an unknown host: %q, %v", got, err)
	}
	if _, err := run(newApp(t, "FOB_TOKEN_WORK="), asked, "git", "erase"); err == nil {
		t.Error("erase without a login succeeds")
	}
}

func TestDocker(t *testing.T) {
	for name, test := range map[string]struct {
		operation, input string
		want             string
		status           int
	}{
		"get":                {"get", "registry.example.com:5000", `{"ServerURL":"registry.example.com:5000","Username":"robot","Secret":"work-token"}`, 0},
		"get as a URL":       {"get", "https://registry.example.com:5000/v2/\n", `"Secret":"work-token"`, 0},
		"get without a name": {"get", "other.example.com", `"Username":"x-access-token","Secret":"home-token"`, 0},
		"get of another":     {"get", "evil.example.com", credhelper.NotFoundInDocker, cli.ExitFailed},
		"erase":              {"erase", "registry.example.com:5000", "", 0},
		"erase of another":   {"erase", "evil.example.com", "", 0},
		"list":               {"list", "", `{"other.example.com":"x-access-token","registry.example.com:5000":"robot"}`, 0},
		"version":            {"version", "", "fob ", 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := run(newApp(t), test.input, "docker", test.operation)
			var silent *cli.SilentStatus
			if errors.As(err, &silent) != (test.status != 0) || silent != nil && silent.Status != test.status || test.status == 0 && err != nil {
				t.Errorf("%v", err)
			}
			if !strings.Contains(got, test.want) || test.want == "" && got != "" {
				t.Errorf("%q", got)
			}
		})
	}
	for name, args := range map[string][]string{"store": {"docker", "store"}, "no operation": {"docker"}, "an unknown one": {"docker", "login"}} {
		if got, err := run(newApp(t), "registry.example.com:5000", args...); !cli.IsUsage(err) || cli.CarriedHint(err) == "" || got != "" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func execInfo(version, server string, unverified bool) string {
	return fmt.Sprintf(`{"apiVersion":"client.authentication.k8s.io/%s","kind":"ExecCredential","spec":{"cluster":{"server":%q,"insecure-skip-tls-verify":%v}}}`, version, server, unverified)
}

func TestKubectl(t *testing.T) {
	const cluster = "https://k8s.example.com:6443"
	for name, test := range map[string]struct {
		info    string
		args    []string
		problem string
	}{
		"the profile's cluster":     {execInfo("v1", cluster, false), []string{"work"}, ""},
		"an older version":          {execInfo("v1beta1", cluster, false), []string{"work"}, ""},
		"a cluster of the flag":     {execInfo("v1", cluster, false), []string{"work", "--server", cluster}, ""},
		"a profile without servers": {execInfo("v1", "https://any.example.com", false), []string{"home"}, ""},
		"another cluster":           {execInfo("v1", "https://evil.example.com:6443", false), []string{"work"}, "is not for https://evil.example.com:6443"},
		"not of the flag":           {execInfo("v1", cluster, false), []string{"work", "--server", "https://other.example.com"}, "is not for"},
		"an unknown cluster":        {execInfo("v1", "", false), []string{"work"}, "did not name the cluster"},
		"no information":            {"", []string{"work"}, "did not name the cluster"},
		"an unverified cluster":     {execInfo("v1", cluster, true), []string{"work"}, "does not verify the certificate"},
		"a cluster that is none":    {execInfo("v1", "k8s", false), []string{"work"}, "the cluster"},
		"another version":           {execInfo("v9", cluster, false), []string{"work"}, "version"},
		"what kubectl never says":   {"{}", []string{"work"}, "is not an ExecCredential"},
		"an unknown kind of token":  {execInfo("v1", cluster, false), []string{"work", "--token", "refresh"}, `unknown kind "refresh"`},
		"a flag that is no URL":     {execInfo("v1", cluster, false), []string{"work", "--server", "k8s"}, "kubernetes_servers"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newApp(t, credhelper.ExecInfo+"="+test.info)
			args := append([]string{"kubectl", "--token", "access"}, test.args...)
			got, err := run(a, "", args...)
			if test.problem != "" {
				if err == nil || !strings.Contains(err.Error(), test.problem) || cli.CarriedHint(err) == "" || got != "" {
					t.Errorf("%q, %v", got, err)
				}
				return
			}
			var credential struct {
				APIVersion, Kind string
				Status           struct{ Token string }
			}
			if err != nil || json.Unmarshal([]byte(got), &credential) != nil || credential.Kind != "ExecCredential" || credential.Status.Token != test.args[0]+"-token" {
				t.Errorf("%q, %v", got, err)
			}
			if want := map[bool]string{true: "v1beta1", false: "v1"}[strings.Contains(test.info, "v1beta1")]; !strings.HasSuffix(credential.APIVersion, "/"+want) {
				t.Errorf("version %s", credential.APIVersion)
			}
		})
	}
	if _, err := run(newApp(t), "", "kubectl", "home"); !cli.IsUsage(err) {
		t.Errorf("an id_token from the environment: %v", err)
	}
}

const stsAnswer = `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult><Credentials>` +
	`<AccessKeyId>AKIA</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>session</SessionToken><Expiration>2030-01-02T03:04:05Z</Expiration>` +
	`</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`

const role = "arn:aws:iam::123456789012:role/deploy"

func TestAWS(t *testing.T) {
	var form map[string][]string
	status, answer := http.StatusOK, stsAnswer
	sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		form = r.PostForm
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	defer sts.Close()
	args := []string{"aws", "work", "--token", "access", "--role-arn", role, "--endpoint", sts.URL, "--duration", "1h"}
	got, err := run(newApp(t), "", args...)
	var credentials map[string]any
	if err != nil || json.Unmarshal([]byte(got), &credentials) != nil || credentials["AccessKeyId"] != "AKIA" || credentials["SessionToken"] != "session" || credentials["Version"] != 1.0 {
		t.Errorf("%q, %v", got, err)
	}
	for name, want := range map[string]string{"RoleArn": role, "WebIdentityToken": "work-token", "RoleSessionName": "fob-work", "DurationSeconds": "3600", "Action": "AssumeRoleWithWebIdentity"} {
		if len(form[name]) != 1 || form[name][0] != want {
			t.Errorf("%s is %q", name, form[name])
		}
	}
	refusal := func(code string) string {
		return `<ErrorResponse><Error><Code>` + code + `</Code><Message>no` + "\x1b" + `</Message></Error></ErrorResponse>`
	}
	for name, test := range map[string]struct {
		status int
		answer string
		is     error
		hint   string
	}{
		"refused":        {http.StatusForbidden, refusal("AccessDenied"), nil, "trust policy"},
		"unavailable":    {http.StatusServiceUnavailable, refusal("ServiceUnavailable"), httpclient.ErrUnavailable, ""},
		"not AWS at all": {http.StatusOK, "<html>", nil, ""},
	} {
		status, answer = test.status, test.answer
		got, err := run(newApp(t), "", args...)
		if err == nil || got != "" || test.is != nil && !errors.Is(err, test.is) || !strings.Contains(cli.CarriedHint(err), test.hint) || strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%s: %q, %v, hint %q", name, got, err, cli.CarriedHint(err))
		}
	}
	sts.Close()
	if _, err := run(newApp(t), "", args...); !errors.Is(err, httpclient.ErrUnavailable) || !strings.Contains(err.Error(), "assuming the AWS role") {
		t.Errorf("no answer: %v", err)
	}
}

func TestAWS_Usage(t *testing.T) {
	for name, test := range map[string]struct {
		args    []string
		environ string
		problem string
	}{
		"no role":                {nil, "", "role"},
		"a role that is none":    {[]string{"--role-arn", "deploy"}, "", "role"},
		"too short":              {[]string{"--role-arn", role, "--duration", "1m"}, "", "15m"},
		"a region that is none":  {[]string{"--role-arn", role, "--region", "a.b/c"}, "", "region"},
		"plain http elsewhere":   {[]string{"--role-arn", role, "--endpoint", "http://sts.example.com"}, "", "--endpoint"},
		"an endpoint of the env": {[]string{"--role-arn", role}, "AWS_ENDPOINT_URL_STS=http://sts.example.com", "--endpoint"},
		"an empty role":          {[]string{"--role-arn", ""}, "", "--role-arn is empty"},
		"an unknown kind":        {[]string{"--role-arn", role, "--token", "x"}, "", `unknown kind "x"`},
	} {
		_, err := run(newApp(t, test.environ), "", append([]string{"aws", "work"}, test.args...)...)
		if !cli.IsUsage(err) || !strings.Contains(err.Error(), test.problem) || cli.CarriedHint(err) == "" {
			t.Errorf("%s: %v, hint %q", name, err, cli.CarriedHint(err))
		}
	}
}

func TestInstallGit(t *testing.T) {
	configuration := filepath.Join(t.TempDir(), "gitconfig")
	t.Setenv("GIT_CONFIG_GLOBAL", configuration)
	t.Setenv("GIT_CONFIG_SYSTEM", os.DevNull)
	read := func() string {
		text, err := os.ReadFile(configuration)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return string(text)
	}
	a := newApp(t)
	stdout, stderr, err := a.Run(New, "install", "git", "--dry-run")
	if err != nil || !strings.Contains(stdout, "git config --global") || strings.Contains(stderr, "git now uses fob") || read() != "" {
		t.Errorf("a dry run: %q, %q, %v, and git has %q", stdout, stderr, err, read())
	}
	for _, test := range []struct {
		args []string
		note string
		has  bool
	}{
		{[]string{"install", "git"}, "git now uses fob", true},
		{[]string{"install", "git"}, "git uses fob already", true},
		{[]string{"uninstall", "git"}, "git no longer uses fob", false},
		{[]string{"uninstall", "git"}, "git does not use fob.", false},
	} {
		_, stderr, err := a.Run(New, test.args...)
		if err != nil || !strings.Contains(stderr, test.note) || strings.Contains(read(), "helper git") != test.has || strings.Contains(read(), "https://git.example.com:8443") != test.has {
			t.Errorf("%q: %q, %v\n%s", test.args, stderr, err, read())
		}
	}
	if _, _, err := a.Run(New, "install", "git", "--profile", "home"); err != nil || strings.Contains(read(), "git.example.com") || !strings.Contains(read(), "https://github.com") || !strings.Contains(read(), "--profile home") {
		t.Errorf("one profile: %v\n%s", err, read())
	}
	PurgeGit(t.Context(), a.App, true)
	if note := a.Stderr(); !strings.Contains(note, "would remove fob") || !strings.Contains(read(), "helper git") {
		t.Errorf("a purge that is only shown: %q\n%s", note, read())
	}
	PurgeGit(t.Context(), a.App, false)
	if note := a.Stderr(); !strings.Contains(note, "git no longer uses fob") || strings.Contains(read(), "helper git") {
		t.Errorf("a purge: %q\n%s", note, read())
	}
}

// A user name in the URL of a repository selects one of a host's profiles.
func TestInstallGit_UserNames(t *testing.T) {
	host := func(profile, username string) string {
		return fmt.Sprintf("[profile.%s]\nissuer = \"https://a.example.com\"\ngit_hosts = [\"https://git.example.com\"]\ngit_username = %q\n", profile, username)
	}
	for name, test := range map[string]struct {
		config string
		fails  bool
	}{
		"different user names": {host("a", "ada") + host("b", "bob"), false},
		"one user name":        {host("a", "ada") + host("b", "ada"), true},
		"one without":          {host("a", "ada") + host("b", ""), true},
	} {
		_, _, err := cmdtest.New(t, test.config).Run(New, "install", "git", "--dry-run")
		if cli.IsUsage(err) != test.fails {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInstallGit_Failures(t *testing.T) {
	for name, test := range map[string]struct {
		config, path string
		args         []string
		problem      string
		hint         string
	}{
		"no host": {"[profile.x]\nissuer = \"https://sso.example.com\"\nclient_id = \"x\"\n", os.Getenv("PATH"), []string{"git"}, "no profile has a git host", "--git-host"},
		"two profiles": {"[profile.a]\nissuer = \"https://a.example.com\"\ngit_hosts = [\"https://git.example.com\"]\n[profile.b]\nissuer = \"https://b.example.com\"\ngit_hosts = [\"https://git.example.com\"]\n",
			os.Getenv("PATH"), []string{"git", "--dry-run"}, `profiles "a" and "b" are both for https://git.example.com`, "'fob helper install git --profile b'"},
		"no git":           {profiles, t.TempDir(), []string{"git"}, "git", "install git"},
		"no repository":    {profiles, os.Getenv("PATH"), []string{"git", "--local"}, "git", "--local requires a repository"},
		"local and global": {profiles, os.Getenv("PATH"), []string{"git", "--local", "--global"}, "--global and --local", ""},
		"another program":  {profiles, os.Getenv("PATH"), []string{"hg"}, "expects git", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PATH", test.path)
			t.Chdir(t.TempDir())
			_, _, err := cmdtest.New(t, test.config).Run(New, append([]string{"install"}, test.args...)...)
			if err == nil || !strings.Contains(err.Error(), test.problem) || !strings.Contains(cli.CarriedHint(err), test.hint) {
				t.Errorf("%v, hint %q", err, cli.CarriedHint(err))
			}
		})
	}
}

// A purge removes a link to this fob, and leaves other programs of its name.
func TestPurgeDocker(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	path := filepath.Join(dir, DockerProgram)
	self, err := executablePath()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		place  func() error
		dryRun bool
		note   string
		left   bool
	}{
		"nothing":         {func() error { return nil }, false, "", false},
		"a link":          {func() error { return os.Symlink(self, path) }, false, "Removed docker's link to fob: " + path, false},
		"a dry run":       {func() error { return os.Symlink(self, path) }, true, "would remove docker's link to fob: " + path, true},
		"another program": {func() error { return os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700) }, false, "was not removed", true},
		"another's link":  {func() error { return os.Symlink("/bin/sh", path) }, false, "was not removed", true},
	} {
		_ = os.Remove(path)
		if err := test.place(); err != nil {
			t.Fatal(err)
		}
		a := cmdtest.New(t, "")
		PurgeDocker(a.App, test.dryRun)
		stderr := a.Stderr()
		if !strings.Contains(stderr, test.note) || test.note == "" && stderr != "" || app.PathExists(path) != test.left {
			t.Errorf("%s: %q", name, stderr)
		}
	}
}

func TestMCP(t *testing.T) {
	a := newApp(t)
	if stdout, err := run(a, "", "mcp", "work"); err != nil || stdout != `{"Authorization":"Bearer work-token"}`+"\n" {
		t.Errorf("%q, %v", stdout, err)
	}
	if stdout, err := run(a, "", "mcp", "nobody"); err == nil || stdout != "" {
		t.Errorf("%q, %v", stdout, err)
	}
}

// TestInstallMCP_PreservesTheFile: the client's file may be a link, and have any mode.
func TestInstallMCP_PreservesTheFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "real.json")
	if err := errors.Join(os.WriteFile(file, []byte(`{"b": 1, "a": 2}`), 0o640), os.Symlink(file, filepath.Join(dir, ".claude.json"))); err != nil {
		t.Fatal(err)
	}
	a := newApp(t, "CLAUDE_CONFIG_DIR="+dir)
	read := func() string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	install := func(args ...string) (string, error) {
		return run(a, "", append([]string{"install", "mcp", "work", "--client", "claude-code"}, args...)...)
	}
	if _, err := install(); !app.IsUsage(err) {
		t.Errorf("without a URL: %v", err)
	}
	if shown, err := install("--url", "https://api.example.com", "--dry-run"); err != nil || !strings.HasPrefix(shown, "\"mcpServers\": {\n") || read() != `{"b": 1, "a": 2}` {
		t.Errorf("dry run: %v\n%s\n%s", err, shown, read())
	}
	if _, err := install("--url", "https://api.example.com"); err != nil || !strings.HasSuffix(read(), `},"b": 1, "a": 2}`) {
		t.Errorf("%v\n%s", err, read())
	}
	before, beforeErr := os.Stat(file)
	if _, err := install("--url", "https://api.example.com"); err != nil {
		t.Error(err)
	}
	after, err := os.Stat(file)
	if errors.Join(beforeErr, err) != nil || !os.SameFile(before, after) || after.Mode().Perm() != 0o640 {
		t.Errorf("the file was written again, or has the mode %v", after.Mode())
	}
	if _, err := install("--url", "https://other.example.com"); !errors.Is(err, credhelper.ErrInput) {
		t.Error(err)
	}
}
