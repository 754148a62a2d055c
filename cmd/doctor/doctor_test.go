package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/doctor"
)

// TestMain is fob for the child of --cron.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || os.Args[1] != "doctor" {
		os.Exit(m.Run())
	}
	a := app.New(os.Stdin, os.Stdout, os.Stderr, app.TakeEnviron())
	a.Hint = cli.CarriedHint
	c := New(a)
	c.SetArgs(os.Args[2:])
	c.SilenceErrors, c.SilenceUsage = true, true
	if c.Execute() != nil {
		os.Exit(cli.ExitFailed)
	}
	os.Exit(cli.ExitDone)
}

// Two profiles that name their endpoints: no server is asked.
const profiles = `
[profile.home]
client_id = "fob"
authorization_endpoint = "https://sso.example.com/a"
token_endpoint = "https://sso.example.com/t"

[profile.work]
client_id = "fob"
authorization_endpoint = "https://sso.example.com/a"
token_endpoint = "https://sso.example.com/t"
ca_file = "/nowhere/ca.pem"
`

func newApp(t *testing.T, config string, environ ...string) *cmdtest.App {
	t.Helper()
	a := cmdtest.New(t, config, environ...)
	a.Hint = cli.CarriedHint
	return a
}

func TestInterruptedDoctor(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	var stdout strings.Builder
	a := app.New(strings.NewReader(""), &stdout, io.Discard, map[string]string{"FOB_HOME": t.TempDir(), "FOB_STORAGE": "file"})
	if err := runDoctor(ctx, a, nil, doctorOptions{}); !errors.Is(err, context.Canceled) || stdout.Len() != 0 {
		t.Errorf("runDoctor() = %v, and printed %q", err, stdout.String())
	}
}

// An unknown profile is refused before anything is checked and printed.
func TestDoctor_Refusals(t *testing.T) {
	for args, usage := range map[string]bool{"nobody": false, "nobody --cron": false, "No/body": true} {
		stdout, _, err := newApp(t, profiles).Run(New, strings.Fields(args)...)
		if err == nil || cli.IsUsage(err) != usage || !app.IsUsage(err) || stdout != "" {
			t.Errorf("%s: %q, %v", args, stdout, err)
		}
	}
}

func TestDoctor_UnknownDefault(t *testing.T) {
	const want = `problem[ ]+configuration[ ]+there is no profile "worc"`
	for _, a := range []*cmdtest.App{newApp(t, "default = \"worc\"\n"+profiles), newApp(t, profiles, "FOB_PROFILE=worc")} {
		if stdout, _, err := a.Run(New); err == nil || !regexp.MustCompile(want).MatchString(stdout) {
			t.Errorf("%v\n%s", err, stdout)
		}
	}
}

func TestDoctor_JSON(t *testing.T) {
	for _, args := range [][]string{{"--json"}, {"--json", "work"}, {"--json", "--cron", "work"}} {
		stdout, _, err := newApp(t, profiles).Run(New, args...)
		var report doctor.Report
		if jsonErr := json.Unmarshal([]byte(stdout), &report); jsonErr != nil {
			t.Fatalf("%q: %v\n%s", args, jsonErr, stdout)
		}
		if report.OK || err == nil || err.Error() != "found "+report.Summary() {
			t.Errorf("%q: ok %v, %q, but %v", args, report.OK, report.Summary(), err)
		}
		states := map[string]doctor.State{}
		for _, f := range report.Findings {
			states[strings.TrimSpace(f.Check+" "+f.Profile)] = f.State
			if bad := f.State == doctor.Problem || f.State == doctor.Warning; bad != (f.Fix != "") {
				t.Errorf("%q: %+v", args, f)
			}
		}
		if states["CA file work"] != doctor.Problem || states["login work"] == "" {
			t.Errorf("%q: %v", args, states)
		}
		if _, all := states["login home"]; all != (len(args) == 1) {
			t.Errorf("%q: %v", args, states)
		}
	}
}

// A fix is below its problem.
func TestDoctor_Table(t *testing.T) {
	stdout, _, err := newApp(t, profiles).Run(New, "work")
	lines := strings.Split(stdout, "\n")
	if err == nil || strings.Join(strings.Fields(lines[0]), " ") != "STATE CHECK PROFILE RESULT" {
		t.Fatalf("%v\n%s", err, stdout)
	}
	for i, line := range lines {
		if strings.HasPrefix(line, "problem") && strings.Contains(line, "CA file") {
			if !strings.Contains(line, "/nowhere/ca.pem") || !strings.Contains(lines[i+1]+lines[i+2], "fix: ") {
				t.Errorf("%s", stdout)
			}
			return
		}
	}
	t.Errorf("the missing CA file is no problem:\n%s", stdout)
}

// A broken configuration is a finding: the machine is checked nevertheless.
func TestDoctor_BrokenConfiguration(t *testing.T) {
	stdout, _, err := newApp(t, "[profile").Run(New)
	if err == nil || !strings.Contains(stdout, "problem") || !strings.Contains(stdout, "config.toml:") || !strings.Contains(stdout, "loopback 127.0.0.1") {
		t.Errorf("%v\n%s", err, stdout)
	}
}

// The child has cron's variables, and a note names what it lacks.
func TestDoctor_Cron(t *testing.T) {
	stdout, stderr, err := newApp(t, profiles).Run(New, "work", "--cron")
	if err == nil || strings.Contains(stdout, "FOB_SEAL_KEY") || !strings.Contains(stderr, "Set here, but not in a cron job: ") || !strings.Contains(stderr, "FOB_SEAL_KEY") {
		t.Errorf("%v\n%s\n%s", err, stdout, stderr)
	}
	if !strings.Contains(stderr, "Also set here, and to be set in the crontab: FOB_HOME=") {
		t.Errorf("%s", stderr)
	}
}
