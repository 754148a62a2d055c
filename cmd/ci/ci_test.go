package ci

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/cli"
)

func TestExport_Formats(t *testing.T) {
	const pem = "-----BEGIN\nab'c$d\n-----END\n"
	variables := []string{"--env", "TOKEN=token/work", "--env", "PEM=secret/pem"}
	for name, test := range map[string]struct {
		args    []string
		environ []string
		stdout  string
		file    string // what is in the file afterwards; "before" is there already
		stderr  string // a part of it
	}{
		"shell": {
			args:   []string{"--format", "shell"},
			stdout: "export PEM='-----BEGIN\nab'\\''c$d\n-----END\n'\nexport TOKEN='canary-token'\n",
			file:   "before\n",
		},
		"shell in a GitHub step masks on stderr": {
			args: []string{"--format", "shell"}, environ: []string{"GITHUB_ACTIONS=true"},
			stdout: "export PEM='-----BEGIN\nab'\\''c$d\n-----END\n'\nexport TOKEN='canary-token'\n",
			file:   "before\n", stderr: "::add-mask::canary-token\n",
		},
		"dotenv": {
			args: []string{"--format", "dotenv", "--file", "FILE"},
			file: "PEM=\"-----BEGIN\nab'c\\$d\n-----END\n\"\nTOKEN=canary-token\n", stderr: "Exported 2 variables: PEM, TOKEN.\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := cmdtest.New(t, "", append([]string{"FOB_TOKEN_WORK=canary-token", "FOB_SECRET_PEM=" + pem}, test.environ...)...)
			file := a.Write("build.env", "before\n")
			args := append(strings.Split(strings.ReplaceAll(strings.Join(test.args, " "), "FILE", file), " "), variables...)
			stdout, stderr, err := a.Run(New, append([]string{"export"}, args...)...)
			if err != nil || stdout != test.stdout || !strings.Contains(stderr, test.stderr) {
				t.Errorf("stdout %q, stderr %q, %v", stdout, stderr, err)
			}
			if text, err := os.ReadFile(file); err != nil || string(text) != test.file {
				t.Errorf("the file: %q, %v", text, err)
			}
		})
	}
}

// In GitHub each value is masked, on stdout, before any is handed on, and a file is appended to.
func TestExport_GitHub(t *testing.T) {
	for _, test := range []struct {
		variable string
		args     []string
	}{{"GITHUB_ENV", nil}, {"GITHUB_OUTPUT", []string{"--output"}}} {
		a := cmdtest.New(t, "", "FOB_TOKEN_WORK=canary-token", "GITHUB_ACTIONS=true")
		file := a.Write("runner-file", "BEFORE=1\n")
		a.Environ[test.variable] = file
		stdout, stderr, err := a.Run(New, append([]string{"export", "--env", "TOKEN=token/work"}, test.args...)...)
		if err != nil || stdout != "::add-mask::canary-token\n" || stderr != "Exported 1 variable: TOKEN.\n" {
			t.Errorf("%s: stdout %q, stderr %q, %v", test.variable, stdout, stderr, err)
		}
		text, err := os.ReadFile(file)
		if err != nil || !strings.HasPrefix(string(text), "BEFORE=1\nTOKEN") || !strings.Contains(string(text), "canary-token") {
			t.Errorf("%s: %q, %v", test.variable, text, err)
		}
	}
}

func TestExport_GitHubFileMustBeTheRunners(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "victim"), link); err != nil {
		t.Fatal(err)
	}
	for value, problem := range map[string]string{
		"": "does not name a file", "relative": "does not name a file", filepath.Join(dir, "missing"): "does not exist", link: "", dir: "",
	} {
		a := cmdtest.New(t, "", "FOB_TOKEN_WORK=canary", "GITHUB_ACTIONS=true", "GITHUB_ENV="+value)
		stdout, _, err := a.Run(New, "export", "--env", "TOKEN=token/work")
		if err == nil || !strings.Contains(err.Error(), problem) || cli.CarriedHint(err) == "" || stdout != "" {
			t.Errorf("%q: %v, stdout %q", value, err, stdout)
		}
		if problem == "" && !errors.Is(err, atomicfile.ErrUnsafe) {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestExport_Usage(t *testing.T) {
	variable := []string{"--env", "TOKEN=token/work"}
	for name, test := range map[string]struct {
		args, environ []string
		problem       string
	}{
		"outside of a job":         {variable, nil, "not in a CI job"},
		"an unknown format":        {append([]string{"--format", "xml"}, variable...), nil, `unknown format "xml"`},
		"outputs of GitLab":        {append([]string{"--output"}, variable...), []string{"GITLAB_CI=true"}, "--output is only for"},
		"no file for GitLab":       {variable, []string{"GITLAB_CI=true"}, "--file is required"},
		"no file for dotenv":       {append([]string{"--format", "dotenv"}, variable...), nil, "--file is required"},
		"a file for a shell":       {append([]string{"--format", "shell", "--file", "x"}, variable...), nil, "--file is only for"},
		"an empty file":            {append([]string{"--format", "dotenv", "--file", ""}, variable...), nil, "--file is empty"},
		"nothing to hand on":       {[]string{"--format", "shell"}, nil, "nothing to export"},
		"PATH":                     {[]string{"--format", "shell", "--env", "PATH=token/work"}, nil, "PATH"},
		"what the runner reserves": {[]string{"--format", "shell", "--env", "GITHUB_TOKEN=token/work"}, nil, "GITHUB_TOKEN"},
		"an argument":              {[]string{"x"}, nil, "no argument"},
	} {
		t.Run(name, func(t *testing.T) {
			a := cmdtest.New(t, "", append([]string{"FOB_TOKEN_WORK=canary"}, test.environ...)...)
			stdout, stderr, err := a.Run(New, append([]string{"export"}, test.args...)...)
			if !cli.IsUsage(err) || !strings.Contains(err.Error(), test.problem) || cli.CarriedHint(err) == "" {
				t.Errorf("%v, hint %q", err, cli.CarriedHint(err))
			}
			if strings.Contains(stdout+stderr+err.Error(), "canary") {
				t.Errorf("the value is shown: %q, %q", stdout, stderr)
			}
		})
	}
}

// Where one value is missing or cannot be exported, nothing is written.
func TestExport_AllOrNothing(t *testing.T) {
	for value, format := range map[string]string{"": "dotenv", "a\x00b": "dotenv", "a\rb": "dotenv", "\x00": "shell"} {
		a := cmdtest.New(t, "", "FOB_TOKEN_WORK=canary", "FOB_SECRET_DB="+value)
		file := a.Write("build.env", "before")
		args := []string{"export", "--format", format, "--env", "TOKEN=token/work", "--env", "DB=secret/db"}
		if format == "dotenv" {
			args = append(args, "--file", file)
		}
		stdout, _, err := a.Run(New, args...)
		if text, readErr := os.ReadFile(file); err == nil || readErr != nil || string(text) != "before" || stdout != "" {
			t.Errorf("%q: %v, the file has %q, stdout %q", value, err, text, stdout)
		}
	}
}

func jobToken(claims map[string]any) string {
	part := func(v any) string {
		text, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return part(map[string]string{"alg": "RS256"}) + "." + part(claims) + ".c2ln"
}

const ciProfile = "[profile.deploy]\nissuer = \"https://sso.example.com\"\nclient_id = \"fob\"\ngrant = \"token-exchange\"\nidentity = \"%s\"\n"

func TestStatus(t *testing.T) {
	token := jobToken(map[string]any{"iss": "https://gitlab.example.com", "sub": "project:acme", "aud": "https://sso.example.com", "exp": cmdtest.Now().Unix() + 300, "project_path": "acme/app"})
	other := jobToken(map[string]any{"iss": "https://gitlab.example.com", "aud": "https://vault.example.com"})
	for name, test := range map[string]struct {
		config  string
		environ []string
		args    []string
		fails   bool
		want    map[string]any // of the JSON
		hint    string         // a part of one
	}{
		"a job with its identity": {
			config: fmt.Sprintf(ciProfile, "gitlab"), environ: []string{"GITLAB_CI=true", "FOB_ID_TOKEN=" + token, "FOB_STORAGE=none"},
			want: map[string]any{"system": "gitlab", "profile": "deploy", "profile_by": "only profile", "sends": "the machine's identity: gitlab", "to": "https://sso.example.com", "storage": "none", "grant": "token-exchange"},
		},
		"an identity for another server": {
			config: fmt.Sprintf(ciProfile, "gitlab"), environ: []string{"GITLAB_CI=true", "FOB_ID_TOKEN=" + other}, fails: true,
			want: map[string]any{"profile": "deploy"},
		},
		"no identity": {
			config: fmt.Sprintf(ciProfile, "gitlab"), environ: []string{"GITLAB_CI=true"}, fails: true,
			hint: "the root's, for there is no identity token",
		},
		"outside of a job": {
			config: fmt.Sprintf(ciProfile, ""), fails: true, hint: "the root's, for this is not a CI job",
		},
		"outside of a job, with a login": {
			config: "[profile.work]\nprovider = \"github\"\n", hint: "run it in a job of GitHub Actions or GitLab CI",
		},
		"a command is not run": {
			config: fmt.Sprintf(ciProfile, "command") + "identity_command = [\"false\", \"x\"]\n",
			want:   map[string]any{"sends": "the output of: false x (not run)"},
		},
		"a token in the environment": {
			config: fmt.Sprintf(ciProfile, "gitlab"), environ: []string{"FOB_TOKEN_DEPLOY=canary", "FOB_ID_TOKEN=" + token},
			want: map[string]any{"sends": "nothing", "variable": "FOB_TOKEN_DEPLOY"},
		},
		"a refresh token in the environment": {
			config: "[profile.work]\nprovider = \"github\"\n", environ: []string{"FOB_REFRESH_TOKEN_WORK=canary"},
			want: map[string]any{"sends": "the refresh token in FOB_REFRESH_TOKEN_WORK"},
		},
		"a stored login": {config: "[profile.work]\nprovider = \"github\"\n", want: map[string]any{"sends": "the stored login", "to": "https://github.com/login/oauth"}},
		"no profile":     {want: map[string]any{"sends": "nothing"}, hint: "set FOB_CONFIG to a configuration in the repository"},
		"a keyring in a job": {
			config: "[profile.work]\nprovider = \"github\"\n", environ: []string{"GITHUB_ACTIONS=true", "FOB_STORAGE=keyring"}, hint: "CI jobs have no keyring",
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := cmdtest.New(t, test.config, test.environ...)
			a.Status = func(error) int { return 7 }
			a.Hint = func(err error) string { return "the root's, for " + err.Error() }
			stdout, _, err := a.Run(New, append([]string{"status", "--json"}, test.args...)...)
			var silent *cli.SilentStatus
			if (err != nil) != test.fails || err != nil && (!errors.As(err, &silent) || silent.Status != 7) {
				t.Errorf("%v", err)
			}
			var got map[string]any
			if err := json.Unmarshal([]byte(stdout), &got); err != nil {
				t.Fatal(err)
			}
			for key, want := range test.want {
				if got[key] != want {
					t.Errorf("%s: %q, not %q", key, got[key], want)
				}
			}
			if hints := fmt.Sprint(got["hints"]); !strings.Contains(hints, test.hint) {
				t.Errorf("hints: %s", hints)
			}
			if strings.Contains(stdout, "canary") || strings.Contains(stdout, token) {
				t.Errorf("a secret is shown: %s", stdout)
			}
		})
	}
}

func TestStatus_Table(t *testing.T) {
	token := jobToken(map[string]any{"iss": "https://gitlab.example.com", "sub": "project:acme", "aud": []string{"https://sso.example.com", "x"}, "exp": cmdtest.Now().Unix() + 300})
	a := cmdtest.New(t, fmt.Sprintf(ciProfile, "env:JOB_TOKEN"), "JOB_TOKEN="+token)
	stdout, _, err := a.Run(New, "status", "deploy")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"issuer", "https://gitlab.example.com", "https://sso.example.com x", "(in 5 min)", "argument"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	if _, _, err := a.Run(New, "status", "other"); err == nil || !strings.Contains(err.Error(), "other") {
		t.Errorf("an unknown profile: %v", err)
	}
}
