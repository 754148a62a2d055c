package destination

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/fobcli/fob/internal/dotenv"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/secret"
)

// gitea is an actions secret of a repository or an organization in Gitea or Forgejo: PUT
// /repos/{owner}/{repo}/actions/secrets/{name}.
type gitea struct {
	rest
	path string // in the API
}

const maxGiteaValue = 64 << 10

func parseGitea(m Machine, p location) (Destination, error) {
	base := cmp.Or(m.URLs["gitea"], m.Getenv("GITEA_URL"), m.Getenv("FORGEJO_URL"))
	if base == "" {
		return nil, p.lacking("no address of Gitea is configured", "set GITEA_URL, or 'gitea' under [destination.url] in config.toml")
	}
	if upper := strings.ToUpper(p.field); !dotenv.IsName(p.field) || strings.HasPrefix(upper, "GITEA_") || strings.HasPrefix(upper, "GITHUB_") || upper == "CI" {
		return nil, p.refuse("a secret's name has letters, digits and _, does not start with a digit, GITEA_ or GITHUB_, and is not CI")
	}
	path, ok := repository(p.where)
	if !ok {
		return nil, p.refuse("the part before the # is not OWNER/REPO or org:NAME")
	}
	return &gitea{rest{m, p, limits{platform: "Gitea", most: maxGiteaValue, inJobs: true}, base}, "/api/v1" + path}, nil
}

// Deliver preserves the secret's description, which Gitea would clear.
func (g *gitea) Deliver(ctx context.Context, value secret.Secret) error {
	a, err := g.connect(ctx, "token ", value, "GITEA_TOKEN", "FORGEJO_TOKEN")
	if err != nil {
		return err
	}
	if g.ReadOnly { // older Gitea versions have no list of secrets
		return a.do(ctx, http.MethodGet, g.path, nil, nil)
	}
	in := map[string]string{"data": value.Reveal()}
	description, err := g.description(ctx, a)
	if err != nil {
		return err
	}
	if description != "" {
		in["description"] = description
	}
	return a.do(ctx, http.MethodPut, g.path+"/actions/secrets/"+url.PathEscape(g.field), in, nil)
}

const maxGiteaPages = 20

// description returns the secret's description. Older Gitea versions and Forgejo have
// neither a list nor descriptions.
func (g *gitea) description(ctx context.Context, a *api) (string, error) {
	for page := 1; page <= maxGiteaPages; page++ {
		var listed []struct{ Name, Description string }
		err := a.do(ctx, http.MethodGet, fmt.Sprintf("%s/actions/secrets?limit=50&page=%d", g.path, page), nil, &listed)
		if isAnswer(err, http.StatusNotFound, http.StatusMethodNotAllowed) || errors.Is(err, httpclient.ErrMalformed) {
			return "", nil
		}
		for _, secret := range listed {
			if strings.EqualFold(secret.Name, g.field) {
				return secret.Description, nil
			}
		}
		if err != nil || len(listed) == 0 {
			return "", err
		}
	}
	return "", nil
}
