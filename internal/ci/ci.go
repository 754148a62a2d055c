// Package ci finds the identity token of the machine or CI job that fob runs in, and
// knows how a CI system is told to keep a text out of its log.
package ci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/safetext"
	"github.com/fobcli/fob/internal/secret"
)

// Why there is no identity token.
var (
	// ErrNoSource means that no known CI system runs this, and none was named.
	ErrNoSource = errors.New("it is not known where this machine's identity token comes from")
	// ErrNotGiven means that the source exists and holds no token for this job.
	ErrNotGiven = errors.New("this job was given no identity token")
	// ErrMalformed is something else than a token.
	ErrMalformed = errors.New("what came is no identity token")
)

// Where an identity token comes from.
const (
	kindGitHub  = "github"  // GitHub Actions' endpoint
	kindGitLab  = "gitlab"  // the variable that id_tokens fills
	kindEnv     = "env"     // a variable
	kindFile    = "file"    // such as a projected service account token of Kubernetes
	kindCommand = "command" // a program that prints it
)

// GitLabVariable is where a GitLab job puts the token: id_tokens in .gitlab-ci.yml
// names it.
const GitLabVariable = "FOB_ID_TOKEN"

// maxToken bounds what is read, in bytes.
const maxToken = 64 << 10

// Source says where an identity token comes from. The zero value finds out.
type Source struct{ kind, name string }

// ParseSource reads github, gitlab, env:NAME, file:PATH, command, or "".
func ParseSource(text string) (Source, error) {
	kind, name, named := strings.Cut(text, ":")
	switch kind {
	case "", kindGitHub, kindGitLab, kindCommand:
		if !named {
			return Source{kind: kind}, nil
		}
	case kindEnv, kindFile:
		if name != "" {
			return Source{kind, name}, nil
		}
	}
	return Source{}, fmt.Errorf("%q names no source of an identity token", safetext.Line(text))
}

// Machine is what fob runs on.
type Machine struct {
	Getenv func(string) string
	HTTP   *http.Client
	Run    func(ctx context.Context, argv []string) ([]byte, error) // of the source "command"
}

// IdentityToken returns a token that says who this machine or job is, for an audience
// where the source takes one. It is asked for anew at each call: a CI system's tokens
// live for minutes.
func (m Machine) IdentityToken(ctx context.Context, s Source, audience string, command []string) (secret.Secret, error) {
	text, err := m.read(ctx, m.find(s), audience, command)
	if err != nil {
		return secret.Secret{}, err
	}
	return checkToken(text)
}

// find names the CI system that says it runs this.
func (m Machine) find(s Source) Source {
	switch {
	case s.kind != "":
		return s
	case m.Getenv("GITHUB_ACTIONS") == "true":
		return Source{kind: kindGitHub}
	case m.Getenv("GITLAB_CI") == "true":
		return Source{kind: kindGitLab}
	}
	return s
}

func (m Machine) read(ctx context.Context, s Source, audience string, command []string) (string, error) {
	switch s.kind {
	case kindGitHub:
		return m.fromGitHub(ctx, audience)
	case kindGitLab:
		return m.fromVariable(GitLabVariable)
	case kindEnv:
		return m.fromVariable(s.name)
	case kindFile:
		return fromFile(s.name)
	case kindCommand:
		return m.fromCommand(ctx, command)
	}
	return "", ErrNoSource
}

func (m Machine) fromVariable(name string) (string, error) {
	value := m.Getenv(name)
	if value == "" {
		return "", fmt.Errorf("%w: the variable %s is not set", ErrNotGiven, safetext.Line(name))
	}
	return value, nil
}

// fromFile takes links and any owner: that is how Kubernetes mounts a token. It is
// read at each call, since it is replaced before it expires.
func fromFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNotGiven, err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%w: %s is not a file", ErrMalformed, path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading the identity token: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxToken+1))
	if err != nil {
		return "", fmt.Errorf("reading the identity token: %w", err)
	}
	return string(text), nil
}

func (m Machine) fromCommand(ctx context.Context, argv []string) (string, error) {
	if len(argv) == 0 {
		return "", fmt.Errorf("%w: no identity_command is configured", ErrNoSource)
	}
	text, err := m.Run(ctx, argv)
	if err != nil {
		return "", fmt.Errorf("running identity_command %s: %w", argv[0], err)
	}
	return string(text), nil
}

// fromGitHub asks the endpoint that GitHub Actions gives to a job which may have an
// identity. Its bearer goes to no address but an https one, or a loopback.
func (m Machine) fromGitHub(ctx context.Context, audience string) (string, error) {
	address, bearer := m.Getenv("ACTIONS_ID_TOKEN_REQUEST_URL"), m.Getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
	if address == "" || bearer == "" {
		return "", fmt.Errorf("%w: GitHub Actions sets ACTIONS_ID_TOKEN_REQUEST_URL for jobs with the permission id-token: write alone", ErrNotGiven)
	}
	if err := httpclient.CheckURL(address); err != nil {
		return "", fmt.Errorf("ACTIONS_ID_TOKEN_REQUEST_URL: %w", err)
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", errors.New("ACTIONS_ID_TOKEN_REQUEST_URL is no URL")
	}
	if audience != "" {
		q := u.Query()
		q.Set("audience", audience)
		u.RawQuery = q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", errors.New("ACTIONS_ID_TOKEN_REQUEST_URL is no URL")
	}
	req.Header.Set("Authorization", "Bearer "+bearer)
	var answer struct {
		Value string `json:"value"`
	}
	if err := httpclient.DoJSON(m.HTTP, req, &answer); err != nil {
		return "", fmt.Errorf("asking GitHub Actions for the job's identity: %w", withoutURL(err))
	}
	return answer.Value, nil
}

// withoutURL drops a request's address, which names the job, from an error.
func withoutURL(err error) error {
	var network *url.Error
	if errors.As(err, &network) {
		return network.Err
	}
	return err
}

// checkToken takes one line of visible ASCII; no part of what is refused is shown.
func checkToken(text string) (secret.Secret, error) {
	text = strings.TrimRight(text, "\r\n")
	switch {
	case text == "":
		return secret.Secret{}, fmt.Errorf("%w: it is empty", ErrNotGiven)
	case len(text) > maxToken:
		return secret.Secret{}, fmt.Errorf("%w: it has more than %d bytes", ErrMalformed, maxToken)
	}
	for _, b := range []byte(text) {
		if b <= ' ' || b >= 0x7f {
			return secret.Secret{}, fmt.Errorf("%w: it holds a character that no token has", ErrMalformed)
		}
	}
	return secret.New(text), nil
}

// MaskCommand is the line by which a job tells its CI system to keep a text out of the
// log from then on. GitLab and others have none: they mask what is configured alone.
func MaskCommand(getenv func(string) string, token secret.Secret) (line string, known bool) {
	switch {
	case getenv("GITHUB_ACTIONS") == "true":
		return "::add-mask::" + token.Reveal(), true
	case strings.EqualFold(getenv("TF_BUILD"), "true"):
		return "##vso[task.setsecret]" + token.Reveal(), true
	}
	return "", false
}
