package destination

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/destination/destinationtest"
	"github.com/fobcli/fob/internal/httpclient"
)

func TestGitHub(t *testing.T) {
	d := destinationtest.NewGitHub(t)
	m := platform(t, "github", map[string]string{"GH_TOKEN": destinationtest.GitHubToken}, d.ServeHTTP)
	for name, path := range map[string]string{
		"github:acme/web#API_KEY":               "/repos/acme/web/actions/secrets/API_KEY",
		"github:acme/web@production#api_key":    "/repos/acme/web/environments/production/secrets/API_KEY",
		"github:acme/web@blue green/eu#API_KEY": "/repos/acme/web/environments/blue%20green%2Feu/secrets/API_KEY",
		"github:org:acme#API_KEY":               "/orgs/acme/actions/secrets/API_KEY",
	} {
		for _, value := range []string{"canary-1", "two\nlines $x \\ \"é\""} {
			if err := deliver(t, m, name, value); err != nil || d.Values[path] != value {
				t.Errorf("%s: %v, %q", name, err, d.Values)
			}
		}
	}
	if d.Bodies["/orgs/acme/actions/secrets/API_KEY"].Visibility != "private" {
		t.Error("a new secret of an organization is shown to more than its private repositories")
	}
}

func TestGitHubKeepsVisibility(t *testing.T) {
	d := destinationtest.NewGitHub(t)
	m := platform(t, "github", map[string]string{"GH_TOKEN": destinationtest.GitHubToken}, d.ServeHTTP)
	const path = "/orgs/acme/actions/secrets/API_KEY"
	for _, visibility := range []string{"all", "selected"} {
		d.Bodies[path] = destinationtest.GitHubSecret{Visibility: visibility}
		if err := deliver(t, m, "github:org:acme#API_KEY", "v"); err != nil || d.Bodies[path].Visibility != visibility {
			t.Error(visibility, err, d.Bodies[path])
		}
	}
	if got := d.Bodies[path].Repositories; len(got) != 2 || got[0] != 7 || got[1] != 9 {
		t.Errorf("shown to %v", got)
	}
}

func TestGitHubTakesANewKeyInBetween(t *testing.T) {
	d := destinationtest.NewGitHub(t)
	m := platform(t, "github", map[string]string{"GITHUB_TOKEN": destinationtest.GitHubToken}, d.ServeHTTP)
	d.Rotates = 1
	if err := deliver(t, m, "github:acme/web#A", "v"); err != nil || d.Values["/repos/acme/web/actions/secrets/A"] != "v" {
		t.Error(err, d.Asked)
	}
	d.Rotates = 9
	if err := deliver(t, m, "github:acme/web#A", "canary-value"); !isAnswer(err, 422) || strings.Contains(err.Error(), "canary") {
		t.Error(err)
	}
	if len(d.Asked) != 4+4 {
		t.Error(d.Asked)
	}
}

func TestGitHubRefusesNamesAndValues(t *testing.T) {
	m := machine(t)
	for _, name := range []string{"github:acme#A", "github:acme/web/x#A", "github:acme/web@#A", "github:acme/web@..#A", "github:acme/..#A", "github:acme/w%2Fb#A",
		"github:acme/web#GITHUB_A", "github:acme/web#github_a", "github:acme/web#1A", "github:acme/web#A-B", "github:org:#A", "github:org:a/b#A", "github:acme/web?x=1#A"} {
		var wrong *NameError
		if _, err := Parse(name, m); !errors.As(err, &wrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, value := range []string{"", strings.Repeat("x", 48<<10+1), "a\x00b"} {
		if err := deliver(t, m, "github:acme/web#A", value); !errors.Is(err, ErrValue) {
			t.Error(err)
		}
	}
	if d, err := Parse("github:acme/web#api_key", m); err != nil || d.Name() != "github:acme/web#API_KEY" {
		t.Error(d, err)
	}
}

func TestAPublicKeyThatIsNone(t *testing.T) {
	for _, body := range []string{"<html>", `{"key_id":"1","key":"!"}`, `{"key_id":"1","key":"AAAA"}`, `{}`, `[]`} {
		m := platform(t, "github", map[string]string{"GH_TOKEN": "t"}, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet {
				t.Error("something was sent")
			}
			_, _ = w.Write([]byte(body))
		})
		if err := deliver(t, m, "github:acme/web#A", "v"); !errors.Is(err, httpclient.ErrMalformed) {
			t.Errorf("%s: %v", body, err)
		}
	}
}
