package destination

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/crypto/nacl/box"

	"github.com/fobcli/fob/internal/dotenv"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/secret"
)

// github is a secret of GitHub Actions: of a repository, an environment or an organization.
// It is sealed for GitHub's public key.
type github struct {
	rest
	path string // of the secrets, in the API
	org  bool
}

const (
	githubURL = "https://api.github.com"
	// maxGitHubValue is the maximum size of a secret in bytes, before it is sealed.
	maxGitHubValue = 48 << 10
)

func parseGitHub(m Machine, p location) (Destination, error) {
	if upper := strings.ToUpper(p.field); !dotenv.IsName(p.field) || strings.HasPrefix(upper, "GITHUB_") {
		return nil, p.refuse("a secret's name has letters, digits and _, and does not start with a digit or GITHUB_")
	}
	where, environment, hasEnvironment := strings.Cut(p.where, "@")
	path, ok := repository(where)
	isOrg := strings.HasPrefix(where, "org:")
	if !ok || hasEnvironment && (isOrg || environment == "" || environment == "." || environment == "..") {
		return nil, p.refuse("the part before the # is not OWNER/REPO, OWNER/REPO@ENVIRONMENT or org:NAME")
	}
	if hasEnvironment {
		path += "/environments/" + url.PathEscape(environment) + "/secrets/"
	} else {
		path += "/actions/secrets/"
	}
	upper := strings.ToUpper(p.field) // GitHub stores names in upper case
	p.name, p.field = strings.TrimSuffix(p.name, p.field)+upper, upper
	base := cmp.Or(m.URLs["github"], m.Getenv("GITHUB_API_URL"), githubURL)
	return &github{rest{m, p, limits{platform: "GitHub", most: maxGitHubValue, inJobs: true}, base}, path, isOrg}, nil
}

// Deliver fetches the public key, and sends the sealed value. If GitHub changed the key in
// between (422), it tries again.
func (g *github) Deliver(ctx context.Context, value secret.Secret) error {
	a, err := g.connect(ctx, "Bearer ", value, "GH_TOKEN", "GITHUB_TOKEN")
	if err != nil {
		return err
	}
	a.header.Set("Accept", "application/vnd.github+json")
	a.header.Set("X-GitHub-Api-Version", "2022-11-28")
	isLate := func(err error) bool { return isAnswer(err, http.StatusUnprocessableEntity) }
	return unlessLate(ctx, 2, isLate, func() error { return g.put(ctx, a, value) })
}

// githubSecret is the body of PUT …/actions/secrets/{secret_name}.
type githubSecret struct {
	EncryptedValue string `json:"encrypted_value"` // a sealed box, in base64
	KeyID          string `json:"key_id"`
	Visibility     string `json:"visibility,omitempty"`              // of an organization's secret
	Repositories   []int  `json:"selected_repository_ids,omitempty"` // if visibility is "selected"
}

func (g *github) put(ctx context.Context, a *api, value secret.Secret) error {
	var key struct {
		ID  string `json:"key_id"`
		Key string `json:"key"`
	}
	if err := a.do(ctx, http.MethodGet, g.path+"public-key", nil, &key); err != nil {
		return err
	}
	sealed, err := sealFor(key.Key, value)
	if err != nil {
		return err
	}
	in := githubSecret{EncryptedValue: sealed, KeyID: key.ID}
	if g.org {
		if err := g.keepVisibility(ctx, a, &in); err != nil {
			return err
		}
	}
	return a.do(ctx, http.MethodPut, g.path+g.field, in, nil)
}

// keepVisibility preserves the visibility of an organization's secret, which every PUT
// sets. A new one is visible to its private repositories.
func (g *github) keepVisibility(ctx context.Context, a *api, in *githubSecret) error {
	var there struct {
		Visibility string `json:"visibility"`
	}
	err := a.do(ctx, http.MethodGet, g.path+g.field, nil, &there)
	if isAnswer(err, http.StatusNotFound) {
		in.Visibility = "private"
		return nil
	}
	if in.Visibility = there.Visibility; err != nil || there.Visibility != "selected" {
		return err
	}
	for page := 1; ; page++ {
		var list struct {
			Repositories []struct {
				ID int `json:"id"`
			} `json:"repositories"`
		}
		if err := a.do(ctx, http.MethodGet, g.path+g.field+"/repositories?per_page=100&page="+strconv.Itoa(page), nil, &list); err != nil {
			return err
		}
		for _, repository := range list.Repositories {
			in.Repositories = append(in.Repositories, repository.ID)
		}
		if len(list.Repositories) < 100 {
			return nil
		}
	}
}

// sealFor seals a text for a public key in base64 (libsodium's crypto_box_seal).
func sealFor(publicKey string, value secret.Secret) (string, error) {
	raw, err := base64.StdEncoding.DecodeString(publicKey)
	if err != nil || len(raw) != 32 {
		return "", fmt.Errorf("%w: the platform's public key is none", httpclient.ErrMalformed)
	}
	sealed, err := box.SealAnonymous(nil, []byte(value.Reveal()), (*[32]byte)(raw), rand.Reader)
	if err != nil {
		return "", errors.New("the value could not be sealed")
	}
	return base64.StdEncoding.EncodeToString(sealed), nil
}
