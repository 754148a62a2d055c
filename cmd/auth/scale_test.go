package auth

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/session"
)

// withProfiles returns an App with profiles of a server, and a counter of how often it
// parses config.toml.
func withProfiles(t *testing.T, count int, endpoint string) (a *cmdtest.App, names []string, parses *int) {
	t.Helper()
	var text strings.Builder
	var environ []string
	for i := range count {
		names = append(names, fmt.Sprintf("p%d", i))
		fmt.Fprintf(&text, "[profile.p%d]\nclient_id = 'fob'\ntoken_endpoint = %q\nauthorization_endpoint = %q\n", i, endpoint, endpoint)
		environ = append(environ, fmt.Sprintf("FOB_REFRESH_TOKEN_P%d=secret", i))
	}
	a, parses = cmdtest.New(t, text.String(), environ...), new(int)
	getenv := a.Getenv
	a.Getenv = func(name string) string {
		if name == "FOB_STORAGE" { // which config.Load reads, once
			*parses++
		}
		return getenv(name)
	}
	return a, names, parses
}

func TestManyProfiles_OneParse(t *testing.T) {
	for _, count := range []int{1, 30} {
		for _, test := range []struct {
			newCmd func(*app.App) *cobra.Command
			args   []string
		}{
			{NewStatus, nil},
			{NewStatus, []string{"p0"}},
			{NewRefresh, []string{"--all"}},
			{NewProfile, []string{"list"}},
		} {
			a, _, parses := withProfiles(t, count, "https://sso.example.com/token")
			if _, _, err := a.Run(test.newCmd, test.args...); err != nil || *parses != 1 {
				t.Errorf("%d profiles, %q: parsed %d times, %v", count, test.args, *parses, err)
			}
		}
	}
}

func TestToken_OnlyItsProfileIsParsed(t *testing.T) {
	a, _, parses := withProfiles(t, 30, "https://sso.example.com/token")
	a.Environ["FOB_TOKEN_P7"] = ""
	a.Environ["FOB_REFRESH_TOKEN_P7"] = ""
	if _, _, err := a.Run(NewToken, "p7"); !errors.Is(err, session.ErrLoginRequired) {
		t.Error(err)
	}
	if cfg, err := a.Config(); err != nil || len(cfg.Profiles) != 1 || *parses != 1 {
		t.Errorf("parsed %d times, %+v, %v", *parses, cfg, err)
	}
}

// Logins are refreshed several at a time, and reported in the order of their names.
func TestRefresh_SeveralAtATime(t *testing.T) {
	var waiting atomic.Int32
	all := make(chan struct{})
	const count = 4
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if waiting.Add(1) == count {
			close(all)
		}
		select {
		case <-all: // every profile has sent its request
		case <-r.Context().Done():
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"a","token_type":"Bearer","expires_in":3600}`)
	}))
	defer server.Close()
	a, names, parses := withProfiles(t, count, server.URL+"/token")
	_, notes, err := a.Run(NewRefresh, names...)
	var order []string
	for line := range strings.Lines(notes) {
		name, _, _ := strings.Cut(line, ":")
		order = append(order, name)
	}
	if err != nil || strings.Join(order, " ") != strings.Join(names, " ") || *parses != 1 {
		t.Errorf("%q, parsed %d times, %v", notes, *parses, err)
	}
}
