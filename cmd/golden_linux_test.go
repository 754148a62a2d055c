package cmd

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	cmdauth "github.com/fobcli/fob/cmd/auth"
	cmdci "github.com/fobcli/fob/cmd/ci"
	cmddoctor "github.com/fobcli/fob/cmd/doctor"
	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/cmd/internal/hint"
	"github.com/fobcli/fob/internal/app"
)

// The overview and the status of things are golden files: a change of the text is seen in
// review.
func TestScreensGolden(t *testing.T) {
	const (
		work = "[profile.work]\nissuer = \"https://sso.example.com\"\nclient_id = \"fob\"\nscopes = [\"openid\", \"email\"]\n"
		home = "[profile.home]\nprovider = \"github\"\nclient_id = \"gh\"\n"
		ci   = "[profile.deploy]\nissuer = \"https://deploy.example.com\"\nclient_id = \"deploy\"\ngrant = \"token-exchange\"\nidentity = \"gitlab\"\n"
		job  = `{"iss":"https://gitlab.com","sub":"project_path:acme/app:ref_type:branch:ref:main","aud":"https://deploy.example.com","project_path":"acme/app","ref":"main","environment":"live","exp":1772370000}`
	)
	encode := base64.RawURLEncoding.EncodeToString
	identity := "FOB_ID_TOKEN=" + encode([]byte(`{"alg":"RS256"}`)) + "." + encode([]byte(job)) + ".c2ln"
	overview := func(a *app.App) *cobra.Command {
		return &cobra.Command{Use: "overview", RunE: func(c *cobra.Command, _ []string) error { return runOverview(c.Context(), a) }}
	}
	for name, screen := range map[string]struct {
		config  string
		environ []string
		login   string // "", active or ended: the login of the profile that is added
		newCmd  func(*app.App) *cobra.Command
		args    []string
	}{
		"overview-empty":      {"", nil, "", overview, nil},
		"overview-logged-out": {work, nil, "", overview, nil},
		"overview-logged-in":  {"", nil, "active", overview, nil},
		"overview-ended":      {"", nil, "ended", overview, nil},
		"status":              {"default = \"work\"\n" + work + home + ci, nil, "active", cmdauth.NewStatus, nil},
		"status-empty":        {"", nil, "", cmdauth.NewStatus, nil},
		"status-active":       {"", nil, "active", cmdauth.NewStatus, []string{"api"}},
		"status-ended":        {"", nil, "ended", cmdauth.NewStatus, []string{"api"}},
		"doctor":              {"", nil, "active", cmddoctor.New, nil},
		"doctor-ended":        {"[secret.deploy]\n", nil, "ended", cmddoctor.New, nil},
		"ci-status-no-job":    {work, nil, "", cmdci.New, []string{"status"}},
		"ci-status-gitlab":    {ci, []string{"GITLAB_CI=true", "CI=true", identity, "FOB_STORAGE=none"}, "", cmdci.New, []string{"status"}},
		"ci-status-no-token":  {ci, []string{"GITLAB_CI=true", "CI=true", "FOB_STORAGE=keyring"}, "", cmdci.New, []string{"status"}},
	} {
		a := cmdtest.New(t, screen.config, append([]string{"FOB_NO_BROWSER=1"}, screen.environ...)...)
		a.Hint, a.Status = hint.Of, exitOf
		if screen.login != "" {
			logInTo(t, a, screen.login == "ended")
		}
		stdout, stderr, err := a.Run(screen.newCmd, screen.args...)
		if err != nil {
			stderr += "error: " + err.Error() + "\n"
			if hint := hint.Of(err); hint != "" {
				stderr += "hint: " + hint + "\n"
			}
		}
		golden(t, filepath.Join("screen", name+".txt"), onAnyMachine(a.Home, stdout+"--- stderr ---\n"+stderr))
	}
}

// logInTo adds the profile api, with a login that its server may have ended since.
func logInTo(t *testing.T, a *cmdtest.App, ended bool) {
	t.Helper()
	answers := []string{`{"access_token":"access","token_type":"Bearer","refresh_token":"refresh","expires_in":3600,"refresh_expires_in":864000,"scope":"read"}`, `{"error":"invalid_grant"}`}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", cmdtest.Now().Format(http.TimeFormat))
		w.Header().Set("Content-Type", "application/json")
		if len(answers) == 1 {
			w.WriteHeader(http.StatusBadRequest)
		}
		_, _ = w.Write([]byte(answers[0]))
		answers = answers[len(answers)-1:]
	}))
	defer server.Close()
	a.In = strings.NewReader(answers[0])
	args := []string{"api", "--client-id", "fob", "--scope", "read", "--with-token", "--authorization-endpoint", server.URL + "/authorize", "--token-endpoint", server.URL + "/token"}
	if _, stderr, err := a.Run(cmdauth.NewLogin, args...); err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	if !ended {
		return
	}
	if _, _, err := a.Run(cmdauth.NewRefresh, "api"); err == nil {
		t.Fatal("the login was not ended")
	}
}

// onAnyMachine replaces what differs between machines and runs.
func onAnyMachine(home, text string) string {
	text = strings.ReplaceAll(text, home, "FOB_HOME")
	text = regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(text, "127.0.0.1:8976")
	text = regexp.MustCompile(`/callback/[0-9a-f]{20}`).ReplaceAllString(text, "/callback/0123456789abcdef0123") // a hash of the port
	text = regexp.MustCompile(`\d+ MiB free`).ReplaceAllString(text, "9999 MiB free")
	return regexp.MustCompile(`(?m)^\w+ +loopback +::1.*\n`).ReplaceAllString(text, "")
}
