package destination

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fobcli/fob/internal/secret"
)

// gitlab is a CI/CD variable of a project or a group. A new one is masked, hidden, raw, and
// only for protected branches and tags; of an existing one, only the value changes.
type gitlab struct {
	rest
	path  string // of the variables, in the API
	scope string // of environments; "": all
	group bool
}

const (
	gitlabURL = "https://gitlab.com"
	// Limits of a variable that GitLab masks in logs, in characters.
	minGitLabValue, maxGitLabValue = 8, 10_000
	maxGitLabName                  = 255
)

func parseGitLab(m Machine, p location) (Destination, error) {
	if len(p.field) > maxGitLabName || strings.Trim(p.field, wordCharacters) != "" {
		return nil, p.refuse("a variable's name has letters, digits and _, %d at most", maxGitLabName)
	}
	where, scope, hasScope := strings.Cut(p.where, "@")
	if hasScope && scope == "" {
		return nil, p.refuse("the scope after the @ is empty")
	}
	path, group := strings.CutPrefix(where, "group:")
	segments := strings.Split(path, "/")
	if slices.ContainsFunc(segments, func(segment string) bool { return !isSlug(segment) }) {
		return nil, p.refuse("the part before the # is not GROUP/PROJECT or group:GROUP")
	}
	kind := "/groups/"
	if !group {
		kind = "/projects/"
	}
	if !group && len(segments) < 2 {
		return nil, p.refuse("a project belongs to a group or a user: GROUP/PROJECT")
	}
	r := rest{m, p, limits{platform: "GitLab", most: utf8.UTFMax * maxGitLabValue}, GitLabURL(m.URLs, m.Getenv) + "/api/v4"}
	return &gitlab{r, kind + url.PathEscape(path) + "/variables", scope, group}, nil
}

// Check rejects values that GitLab cannot mask, which would appear in job logs.
func (g *gitlab) Check(value secret.Secret) error {
	text := value.Reveal()
	if n := len([]rune(text)); n < minGitLabValue || n > maxGitLabValue || strings.ContainsAny(text, " \t\r\n\x00") {
		return fmt.Errorf("%w: GitLab masks what is one line of %d to %d characters without blanks; another can be given in base64",
			ErrValue, minGitLabValue, maxGitLabValue)
	}
	return g.limits.Check(value)
}

// Deliver changes the variable, or creates it.
func (g *gitlab) Deliver(ctx context.Context, value secret.Secret) error {
	a, err := g.connect(ctx, "Bearer ", value, "GITLAB_TOKEN")
	if err != nil {
		return err
	}
	if g.ReadOnly {
		return a.do(ctx, http.MethodGet, g.path+"?per_page=1", nil, nil)
	}
	if err = g.change(ctx, a, value); !isAnswer(err, http.StatusNotFound) {
		return err
	}
	variable := gitlabVariable{Key: g.field, Value: value.Reveal(), EnvironmentScope: g.scope, Masked: true, MaskedAndHidden: true, Protected: true, Raw: true}
	err = a.do(ctx, http.MethodPost, g.path, variable, nil)
	if isAnswer(err, http.StatusBadRequest) && strings.Contains(err.Error(), "has already been taken") { // by another process, in between
		return g.change(ctx, a, value)
	}
	return err
}

// GitLabURL returns GitLab's URL: configured, from GitLab's own variables, or gitlab.com.
func GitLabURL(configured map[string]string, getenv func(string) string) string {
	base := cmp.Or(configured["gitlab"], getenv("GITLAB_HOST"), getenv("CI_SERVER_URL"), gitlabURL)
	if !strings.Contains(base, "://") { // GITLAB_HOST may be only a host
		base = "https://" + base
	}
	return strings.TrimRight(base, "/")
}

// gitlabVariable is the body of POST …/variables.
type gitlabVariable struct {
	Key              string `json:"key"`
	Value            string `json:"value"`
	EnvironmentScope string `json:"environment_scope,omitempty"`
	Masked           bool   `json:"masked"`
	MaskedAndHidden  bool   `json:"masked_and_hidden"`
	Protected        bool   `json:"protected"`
	Raw              bool   `json:"raw"` // $ is not expanded
}

func (g *gitlab) change(ctx context.Context, a *api, value secret.Secret) error {
	path := g.path + "/" + g.field
	if scope := cmp.Or(g.scope, "*"); !g.group || g.scope != "" { // several variables may have the name
		path += "?" + url.Values{"filter[environment_scope]": {scope}}.Encode()
	}
	return a.do(ctx, http.MethodPut, path, map[string]string{"value": value.Reveal()}, nil)
}
