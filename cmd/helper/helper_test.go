package helper

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
)

const configuration = `
[profile.work]
issuer = "https://sso.example.com"
client_id = "fob"
git_hosts = ["https://git.example.com", "https://git.example.com/team"]
docker_registries = ["registry.example.com"]
kubernetes_servers = ["https://k8s.example.com:6443"]

[profile.hub]
issuer = "https://sso.example.com"
client_id = "fob"
git_hosts = ["https://hub.example.com", "https://both.example.com"]
git_username = "x-access-token"
docker_registries = ["ghcr.io"]
docker_username = "ada"

[profile.other]
issuer = "https://sso.example.com"
client_id = "fob"
git_hosts = ["https://both.example.com"]
`

// call runs 'fob helper ARGS' with tokens from the environment.
func call(t *testing.T, home, stdin string, environ map[string]string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(home, "config.toml"), []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"FOB_HOME": home, "FOB_TOKEN_WORK": "work-token", "FOB_TOKEN_HUB": "hub-token", "FOB_TOKEN_OTHER": "other-token"}
	for name, value := range environ {
		all[name] = value
	}
	var out, errs bytes.Buffer
	a := app.New(strings.NewReader(stdin), &out, &errs, all)
	c := New(a)
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs(args)
	err = c.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

func TestHelper(t *testing.T) {
	const execInfo = `{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{"cluster":{"server":"SERVER"}}}`
	cluster := func(server string) map[string]string {
		return map[string]string{"KUBERNETES_EXEC_INFO": strings.ReplaceAll(execInfo, "SERVER", server)}
	}
	for name, test := range map[string]struct {
		args, stdin string
		environ     map[string]string
		stdout      string // or a part of it
		err         string
	}{
		"git, its host":               {args: "git get", stdin: "protocol=https\nhost=git.example.com\n\n", stdout: "username=oauth2\npassword=work-token\n"},
		"git, a username":             {args: "git get", stdin: "protocol=https\nhost=hub.example.com\n\n", stdout: "username=x-access-token\npassword=hub-token\n"},
		"git, a header":               {args: "git get", stdin: "capability[]=authtype\nprotocol=https\nhost=git.example.com\n\n", stdout: "authtype=Bearer\ncredential=work-token\nephemeral=1\n"},
		"git, another host":           {args: "git get", stdin: "protocol=https\nhost=evil.example.com\n\n"},
		"git, another port":           {args: "git get", stdin: "protocol=https\nhost=git.example.com:8443\n\n"},
		"git, two profiles":           {args: "git get", stdin: "protocol=https\nhost=both.example.com\n\n", stdout: "quit=1\n", err: `the profiles "hub" and "other" are both for https://both.example.com`},
		"git, one of two":             {args: "git --profile other get", stdin: "protocol=https\nhost=both.example.com\n\n", stdout: "username=oauth2\npassword=other-token\n"},
		"git, one by its user":        {args: "git get", stdin: "protocol=https\nhost=both.example.com\nusername=x-access-token\n\n", stdout: "username=x-access-token\npassword=hub-token\n"},
		"git, no such profile":        {args: "git --profile missing get", stdin: "protocol=https\nhost=git.example.com\n\n", stdout: "quit=1\n", err: "missing"},
		"git, not git's input":        {args: "git get", stdin: "hello\n", err: "the input is not understood"},
		"git capability":              {args: "git capability", stdout: "version 0\ncapability authtype\n"},
		"git store":                   {args: "git store", stdin: "protocol=https\nhost=git.example.com\npassword=x\n\n"},
		"git erase":                   {args: "git erase", stdin: "protocol=https\nhost=git.example.com\npassword=x\n\n"},
		"git erase, another host":     {args: "git erase", stdin: "protocol=https\nhost=evil.example.com\npassword=x\n\n"},
		"git, no operation":           {args: "git list", err: "takes one of get, store, erase, capability"},
		"docker":                      {args: "docker get", stdin: "registry.example.com\n", stdout: `{"ServerURL":"registry.example.com","Username":"oauth2","Secret":"work-token"}` + "\n"},
		"docker, a username":          {args: "docker get", stdin: "https://ghcr.io", stdout: `{"ServerURL":"https://ghcr.io","Username":"ada","Secret":"hub-token"}` + "\n"},
		"docker, another registry":    {args: "docker get", stdin: "evil.example.com", stdout: "credentials not found in native keychain\n", err: "exit status 1"},
		"docker, not docker's input":  {args: "docker get", stdin: "a\nb", err: "the input is not understood"},
		"docker list":                 {args: "docker list", stdout: `{"ghcr.io":"ada","registry.example.com":"oauth2"}` + "\n"},
		"docker store":                {args: "docker store", stdin: "{}", err: "fob keeps logins, and no password"},
		"docker erase":                {args: "docker erase", stdin: "ghcr.io"},
		"docker erase, another":       {args: "docker erase", stdin: "evil.example.com"},
		"docker version":              {args: "docker version", stdout: "fob "},
		"kubectl":                     {args: "kubectl work --token access", environ: cluster("https://k8s.example.com:6443"), stdout: `"token":"work-token"`},
		"kubectl, no restriction":     {args: "kubectl hub --token access", stdout: `"token":"hub-token"`},
		"kubectl, another cluster":    {args: "kubectl work --token access", environ: cluster("https://evil.example.com:6443"), err: "the token of profile work is not for https://evil.example.com:6443"},
		"kubectl, not by the flag":    {args: "kubectl hub --token access --server https://k8s.example.com", environ: cluster("https://evil.example.com"), err: "the token of profile hub is not for https://evil.example.com"},
		"kubectl, no cluster":         {args: "kubectl work --token access", err: "kubectl does not say which cluster it asks for"},
		"kubectl, plain http":         {args: "kubectl work --token access", environ: cluster("http://k8s.example.com"), err: "the cluster: "},
		"kubectl, not its input":      {args: "kubectl work", environ: map[string]string{"KUBERNETES_EXEC_INFO": "{"}, err: "the input is not understood"},
		"kubectl, another token":      {args: "kubectl work --token refresh", err: `there is no token "refresh"`},
		"aws, no role":                {args: "aws work --role-arn x", err: "is not the ARN of a role"},
		"aws, another endpoint":       {args: "aws work --role-arn arn:aws:iam::123456789012:role/x --endpoint http://sts.example.com", err: "--endpoint: "},
		"aws, another token":          {args: "aws work --role-arn arn:aws:iam::123456789012:role/x --token refresh", err: `there is no token "refresh"`},
		"install, another program":    {args: "install svn", err: "takes one of git"},
		"install, two configurations": {args: "install git --global --local", err: "--global and --local exclude each other"},
		"install, no such profile":    {args: "install git --profile missing", err: "missing"},
	} {
		stdout, _, err := call(t, t.TempDir(), test.stdin, test.environ, strings.Fields(test.args)...)
		if !strings.Contains(stdout, test.stdout) || test.stdout == "" && stdout != "" {
			t.Errorf("%s: printed %q, not %q", name, stdout, test.stdout)
		}
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %v, not %q", name, err, test.err)
		}
		if err != nil && test.err != "exit status 1" && cli.CarriedHint(err) == "" && !strings.Contains(err.Error(), "missing") {
			t.Errorf("%s: %v has no hint", name, err)
		}
	}
}

func TestInstallGit(t *testing.T) {
	t.Setenv("GIT_CONFIG_GLOBAL", filepath.Join(t.TempDir(), "gitconfig"))
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	home := t.TempDir()
	for _, step := range []struct{ args, stdout, stderr string }{
		{"uninstall git", "", "git does not ask fob.\n"},
		{"install git --profile work --dry-run", "git config --global --add credential.https://git.example.com.helper '!", ""},
		{"install git --profile work --dry-run", "git config --global credential.https://git.example.com/team.useHttpPath true\n", ""},
		{"uninstall git", "", "git does not ask fob.\n"},
		{"install git", "", "git asks fob now; 'fob helper uninstall git' undoes this.\n"},
		{"install git", "", "git asks fob already.\n"},
		{"uninstall git --dry-run", "git config --global --unset-all credential.https://git.example.com/team.usehttppath\n", ""},
		{"uninstall git", "", "git does not ask fob any more.\n"},
		{"uninstall git", "", "git does not ask fob.\n"},
	} {
		stdout, stderr, err := call(t, home, "", nil, strings.Fields(step.args)...)
		if err != nil || !strings.Contains(strings.ToLower(stdout), strings.ToLower(step.stdout)) || step.stdout == "" && stdout != "" || stderr != step.stderr {
			t.Errorf("%s: %q and %q: %v", step.args, stdout, stderr, err)
		}
	}
}

func TestInstallGit_OutsideOfARepository(t *testing.T) {
	t.Setenv("GIT_CONFIG_GLOBAL", filepath.Join(t.TempDir(), "gitconfig"))
	t.Chdir(t.TempDir())
	_, _, err := call(t, t.TempDir(), "", nil, "install", "git", "--local")
	if err == nil || !strings.Contains(cli.CarriedHint(err), "--local is for the repository of the working folder") {
		t.Errorf("%v, hint %q", err, cli.CarriedHint(err))
	}
	t.Setenv("PATH", t.TempDir())
	if _, _, err = call(t, t.TempDir(), "", nil, "uninstall", "git"); err == nil || !strings.Contains(cli.CarriedHint(err), "install git") {
		t.Errorf("without git: %v, hint %q", err, cli.CarriedHint(err))
	}
}

func TestPurgeGit(t *testing.T) {
	t.Setenv("GIT_CONFIG_GLOBAL", filepath.Join(t.TempDir(), "gitconfig"))
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	home := t.TempDir()
	if _, _, err := call(t, home, "", nil, "install", "git"); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		dryRun bool
		want   string
	}{
		{true, "would take fob out of git's configuration.\n"},
		{false, "git does not ask fob any more.\n"},
		{false, ""},
	} {
		var out, errs bytes.Buffer
		PurgeGit(t.Context(), app.New(strings.NewReader(""), &out, &errs, map[string]string{"FOB_HOME": home}), step.dryRun)
		if out.Len() > 0 || errs.String() != step.want {
			t.Errorf("%q and %q, not %q", out.String(), errs.String(), step.want)
		}
	}
}
