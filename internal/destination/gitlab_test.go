package destination

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// gitlabDouble keeps variables by GitLab's documented rules. It stands for GitLab,
// which cannot be had here.
type gitlabDouble struct {
	t         *testing.T
	mu        sync.Mutex
	variables map[string]gitlabVariable // by path and scope
	race      bool                      // another makes the variable before us
}

func (d *gitlabDouble) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer canary-token" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var in gitlabVariable
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&in); err != nil {
		d.t.Error(err)
	}
	path, isAPI := strings.CutPrefix(r.URL.EscapedPath(), "/api/v4")
	known, _ := regexp.MatchString(`^/(projects|groups)/[^/?]+/variables(/[A-Za-z0-9_]{1,255})?$`, path)
	if !isAPI || !known || strings.HasSuffix(path, "/variables") != (r.Method == http.MethodPost) {
		d.t.Errorf("%s %s is no call of GitLab's", r.Method, r.URL)
	}
	if problem := gitlabProblem(r.Method, in); problem != "" {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"message":"` + problem + `"}`))
		return
	}
	switch r.Method {
	case http.MethodPut:
		scope := r.URL.Query().Get("filter[environment_scope]")
		if scope == "" {
			scope = "*"
		}
		there, known := d.variables[path+" "+scope]
		if !known {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"message":"404 Variable Not Found"}`))
			return
		}
		there.Value = in.Value
		d.variables[path+" "+scope] = there
	case http.MethodPost:
		scope := in.EnvironmentScope
		if scope == "" {
			scope = "*"
		}
		at := path + "/" + in.Key + " " + scope
		if _, taken := d.variables[at]; taken || d.race {
			d.race = false
			d.variables[at] = gitlabVariable{Key: in.Key, Value: "another's"}
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"message":{"key":["(` + in.Key + `) has already been taken"]}}`))
			return
		}
		d.variables[at] = in
		w.WriteHeader(http.StatusCreated)
	}
}

// gitlabProblem is what GitLab's documentation refuses of a variable
// (docs.gitlab.com/ci/variables, "Mask a CI/CD variable" and "Hide a CI/CD variable").
func gitlabProblem(method string, in gitlabVariable) string {
	maskable, _ := regexp.MatchString(`^\S{8,}$`, in.Value)
	switch {
	case (in.Masked || in.MaskedAndHidden) && !maskable:
		return "value is invalid"
	case len(in.Value) > 10_000:
		return "value is too long"
	case in.MaskedAndHidden && method == http.MethodPut:
		return "masked_and_hidden is for new variables"
	case method == http.MethodPost && (in.Key == "" || len(in.Key) > 255):
		return "key is invalid"
	}
	return ""
}

func TestGitLab(t *testing.T) {
	d := &gitlabDouble{t: t, variables: map[string]gitlabVariable{}}
	m := platform(t, "gitlab", map[string]string{"GITLAB_TOKEN": "canary-token"}, d.ServeHTTP)
	for name, at := range map[string]string{
		"gitlab:acme/web#API_KEY":            "/projects/acme%2Fweb/variables/API_KEY *",
		"gitlab:acme/sub/web#API_KEY":        "/projects/acme%2Fsub%2Fweb/variables/API_KEY *",
		"gitlab:acme/web@production#API_KEY": "/projects/acme%2Fweb/variables/API_KEY production",
		"gitlab:acme/web@review/*#API_KEY":   "/projects/acme%2Fweb/variables/API_KEY review/*",
		"gitlab:group:acme/sub#API_KEY":      "/groups/acme%2Fsub/variables/API_KEY *",
		"gitlab:group:acme@production#KEY":   "/groups/acme/variables/KEY production",
	} {
		for _, value := range []string{"canary-value-1", "canary-value-2"} {
			if err := deliver(t, m, name, value); err != nil || d.variables[at].Value != value {
				t.Errorf("%s: %v, %v", name, err, d.variables)
			}
		}
		if v := d.variables[at]; !v.Masked || !v.MaskedAndHidden || !v.Protected || !v.Raw {
			t.Errorf("%s was made as %+v", name, v)
		}
	}
}

func TestGitLabKeepsWhatAVariableIs(t *testing.T) {
	d := &gitlabDouble{t: t, variables: map[string]gitlabVariable{"/projects/acme%2Fweb/variables/A *": {Key: "A", Value: "old", Protected: false, Masked: true}}}
	m := platform(t, "gitlab", map[string]string{"GITLAB_TOKEN": "canary-token"}, d.ServeHTTP)
	if err := deliver(t, m, "gitlab:acme/web#A", "canary-value"); err != nil || d.variables["/projects/acme%2Fweb/variables/A *"] != (gitlabVariable{Key: "A", Value: "canary-value", Masked: true}) {
		t.Error(err, d.variables)
	}
	d.race = true
	if err := deliver(t, m, "gitlab:acme/web#B", "canary-value"); err != nil || d.variables["/projects/acme%2Fweb/variables/B *"].Value != "canary-value" {
		t.Error(err, d.variables)
	}
}

func TestGitLabRefusesNamesAndValues(t *testing.T) {
	m := machine(t)
	for _, name := range []string{"gitlab:web#A", "gitlab:acme/web#A-B", "gitlab:acme//web#A", "gitlab:acme/../web#A", "gitlab:acme/web@#A", "gitlab:group:#A", "gitlab:acme/we b#A", "gitlab:acme/web#" + strings.Repeat("A", 256)} {
		var wrong *NameError
		if _, err := Parse(name, m); !errors.As(err, &wrong) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, value := range []string{"", "short", "two words", "two\nlines-of-text", "crlf-value\r\n", "a\x00bcdefgh", strings.Repeat("x", 10_001)} {
		if err := deliver(t, m, "gitlab:acme/web#A", value); !errors.Is(err, ErrValue) {
			t.Errorf("%q: %v", value, err)
		}
	}
	for host, want := range map[string]string{"": "https://gitlab.com", "git.example.com": "https://git.example.com", "https://git.example.com/": "https://git.example.com"} {
		m.Getenv = func(name string) string { return map[string]string{"GITLAB_HOST": host}[name] }
		if got := GitLabURL(nil, m.Getenv); got != want {
			t.Errorf("%s: %s", host, got)
		}
	}
}
