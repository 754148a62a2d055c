package auth

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/session"
)

// fixture is an App whose logins are approved as soon as their URL is printed.
type fixture struct {
	*cmdtest.App
	t      *testing.T
	issuer *authservertest.Server

	mu    sync.Mutex // guards notes: a login prints from several goroutines
	notes strings.Builder
}

func newFixture(t *testing.T, opts authservertest.Options, environ ...string) *fixture {
	t.Helper()
	issuer, err := authservertest.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(issuer.Close)
	f := &fixture{App: cmdtest.New(t, "", environ...), t: t, issuer: issuer}
	f.Clock = session.SystemClock() // the issuer's
	f.Notes = func(line string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.notes.WriteString(line + "\n")
		url := strings.TrimSpace(line)
		if url == issuer.Issuer()+"/device" {
			url = issuer.PendingDevice()
		}
		if strings.HasPrefix(url, issuer.Issuer()+"/authorize?") || strings.HasPrefix(url, issuer.Issuer()+"/device?") {
			go func() { _, _, _ = authservertest.Approve(t.Context(), url, http.DefaultClient) }()
		}
	}
	return f
}

// run runs a command, and returns its output and its notes.
func (f *fixture) run(newCmd func(*app.App) *cobra.Command, args ...string) (stdout, notes string, err error) {
	f.t.Helper()
	stdout, _, err = f.Run(newCmd, args...)
	f.mu.Lock()
	defer f.mu.Unlock()
	notes = f.notes.String()
	f.notes.Reset()
	return stdout, notes, err
}

// must is run for a command that succeeds.
func (f *fixture) must(newCmd func(*app.App) *cobra.Command, args ...string) (stdout, notes string) {
	f.t.Helper()
	stdout, notes, err := f.run(newCmd, args...)
	if err != nil {
		f.t.Fatalf("%v: %v (%s)\n%s", args, err, cli.CarriedHint(err), notes)
	}
	return stdout, notes
}

func (f *fixture) login(args ...string) (notes string) {
	f.t.Helper()
	_, notes = f.must(NewLogin, append([]string{"work", "--issuer", f.issuer.Issuer(), "--client-id", "fob-test", "--no-browser"}, args...)...)
	return notes
}

func (f *fixture) status(name string) (s app.LoginStatus) {
	f.t.Helper()
	stdout, _, _ := f.run(NewStatus, name, "--json")
	if err := json.Unmarshal([]byte(stdout), &s); err != nil {
		f.t.Fatalf("%v: %s", err, stdout)
	}
	return s
}

// checkUsage checks a usage error, and the hint that it carries.
func checkUsage(t *testing.T, name string, err error, want, hint string) {
	t.Helper()
	switch {
	case want == "" && err != nil, want != "" && err == nil:
		t.Errorf("%s: %v", name, err)
	case err == nil:
	case !app.IsUsage(err):
		t.Errorf("%s: not a usage error: %v", name, err)
	case !strings.Contains(err.Error(), want) || !strings.Contains(cli.CarriedHint(err), hint):
		t.Errorf("%s: %q with the hint %q", name, err, cli.CarriedHint(err))
	}
}

// profileOf is the profile that an error is about, whose name the root puts into the hint.
func profileOf(err error) string {
	if failed, ok := errors.AsType[*cli.ProfileError](err); ok {
		return failed.Profile
	}
	return ""
}
