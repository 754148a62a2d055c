// Package ci gets the identity token of the CI job or machine: a short-lived JWT to be
// exchanged for an access token (RFC 8693, RFC 7523). Nothing is stored. It also passes
// variables to later steps of a job.
package ci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/process"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// Why there is no identity token.
var (
	ErrUnknownPlace = errors.New("this is not a CI job that fob knows")
	ErrNotPermitted = errors.New("the job may not ask for an identity token")
	ErrAbsent       = errors.New("there is no identity token")
	ErrMalformed    = errors.New("invalid identity token")
	ErrAudience     = errors.New("the identity token is for another server")
	ErrCommand      = errors.New("the identity command failed")
)

// Source is where the identity token comes from: one of the constants, or "env:NAME" or
// "file:PATH".
type Source string

// Sources.
const (
	Detect  Source = ""        // the CI system that the job runs in
	GitHub  Source = "github"  // GitHub Actions, in jobs with the permission id-token: write
	GitLab  Source = "gitlab"  // the variable GitLabVariable, which a job's id_tokens set
	Command Source = "command" // what a program prints

	fromVariable = "env:"
	fromFile     = "file:"
)

// GitLabVariable is the name for the token in a GitLab job's id_tokens.
const GitLabVariable = "FOB_ID_TOKEN"

// maxToken bounds a token, in bytes. A header can take less.
const maxToken = 64 << 10

// ParseSource parses a source.
func ParseSource(text string) (Source, error) {
	switch s := Source(text); s {
	case Detect, GitHub, GitLab, Command:
		return s, nil
	}
	if name, ok := strings.CutPrefix(text, fromVariable); ok {
		if name == "" || strings.Trim(name, nameCharacters) != "" || '0' <= name[0] && name[0] <= '9' {
			return "", fmt.Errorf("invalid variable name %q", sanitize.Line(name))
		}
		if upper := strings.ToUpper(name); strings.HasPrefix(upper, "FOB_") || strings.HasPrefix(upper, "ACTIONS_") {
			return "", fmt.Errorf("%s cannot be used as an identity: FOB_* and ACTIONS_* are credentials of fob and the runner; choose github, gitlab or another variable", name)
		}
		return Source(text), nil
	}
	if path, ok := strings.CutPrefix(text, fromFile); ok {
		if !filepath.IsAbs(path) {
			return "", fmt.Errorf("%q is not an absolute path", sanitize.Line(path))
		}
		return Source(text), nil
	}
	return "", fmt.Errorf("there is no source %q: choose github, gitlab, env:NAME, file:PATH or command", sanitize.Line(text))
}

// Variable returns the variable that contains the identity, for such a source.
func (s Source) Variable() (name string, ok bool) { return strings.CutPrefix(string(s), fromVariable) }

// MintsIdentity reports whether a variable lets a program get the identity of a CI job, in
// any configuration.
func MintsIdentity(name string) bool {
	return name == GitLabVariable || name == requestURL || name == requestToken
}

const nameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

// Machine is the job or machine that fob runs on.
type Machine struct {
	Getenv func(string) string
	HTTP   *http.Client // of httpclient
	Stderr io.Writer    // gets the stderr of the identity command
}

// IdentityToken gets the token. The audience is only for GitHub, and may be empty;
// elsewhere it is set by whatever creates the token. command is the program of Command with
// its arguments. Errors contain nothing that was read.
func (m Machine) IdentityToken(ctx context.Context, s Source, audience string, command []string) (secret.Secret, error) {
	if s == Detect {
		s = System(m.Getenv)
	}
	name, inVariable := s.Variable()
	path, inFile := strings.CutPrefix(string(s), fromFile)
	switch {
	case s == Detect:
		return secret.Secret{}, ErrUnknownPlace
	case s == GitHub:
		return m.requestGitHub(ctx, audience)
	case s == GitLab:
		return m.variable(GitLabVariable)
	case s == Command:
		return m.run(ctx, command)
	case inVariable:
		return m.variable(name)
	case inFile:
		return readTokenFile(path)
	}
	return secret.Secret{}, fmt.Errorf("there is no source %q", sanitize.Line(string(s)))
}

// System returns the CI system that runs this job, GitHub or GitLab, else Detect.
func System(getenv func(string) string) Source {
	switch {
	case getenv("GITHUB_ACTIONS") == "true":
		return GitHub
	case getenv("GITLAB_CI") == "true":
		return GitLab
	}
	return Detect
}

func (m Machine) variable(name string) (secret.Secret, error) {
	value := m.Getenv(name)
	if value == "" {
		return secret.Secret{}, fmt.Errorf("%w: the variable %s is not set, or is empty", ErrAbsent, name)
	}
	return parseToken([]byte(value), "the variable "+name)
}

// readTokenFile reads a token that another program renews. Kubernetes' projected tokens are
// links to files that belong to root and are readable by all.
func readTokenFile(path string) (secret.Secret, error) {
	text, err := atomicfile.ReadRegular(path, maxToken+int64(len("\r\n")))
	if err != nil {
		return secret.Secret{}, fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	if text, err = sanitize.Decode(text); err != nil {
		return secret.Secret{}, fmt.Errorf("%w: %s: %w", ErrMalformed, path, err)
	}
	return parseToken(text, path)
}

// parseToken removes the newline after a token and checks it; from is its source, for
// errors.
func parseToken(text []byte, from string) (secret.Secret, error) {
	value := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	why := ""
	switch {
	case value == "":
		why = "is empty"
	case len(value) > maxToken:
		why = fmt.Sprintf("holds more than %d bytes", maxToken)
	case !sanitize.IsVisibleASCII(value):
		why = "holds characters that no token has"
	default:
		return secret.New(value), nil
	}
	return secret.Secret{}, fmt.Errorf("%w: %s %s", ErrMalformed, from, why)
}

// The variables with which a GitHub Actions job requests its identity token. They only
// exist with the permission "id-token: write".
const (
	requestURL   = "ACTIONS_ID_TOKEN_REQUEST_URL"
	requestToken = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
)

func (m Machine) requestGitHub(ctx context.Context, audience string) (secret.Secret, error) {
	address, token := m.Getenv(requestURL), m.Getenv(requestToken)
	if address == "" || token == "" {
		return secret.Secret{}, fmt.Errorf("%w: %s and %s are not set", ErrNotPermitted, requestURL, requestToken)
	}
	u, err := url.Parse(address)
	if err != nil || httpclient.CheckURL(address) != nil { // the error would contain the URL
		return secret.Secret{}, fmt.Errorf("%s is not an https URL", requestURL)
	}
	if audience != "" {
		u.RawQuery = strings.TrimPrefix(u.RawQuery+"&audience="+url.QueryEscape(audience), "&")
	}
	bearer, err := parseToken([]byte(token), "the variable "+requestToken)
	if err != nil {
		return secret.Secret{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return secret.Secret{}, fmt.Errorf("%s is not a URL", requestURL)
	}
	req.Header.Set("Authorization", "bearer "+bearer.Reveal())
	var answer struct {
		Value string `json:"value"`
	}
	err = httpclient.DoJSON(m.HTTP, req, &answer)
	if errors.Is(err, httpclient.ErrNotJSON) {
		err = fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err != nil {
		return secret.Secret{}, fmt.Errorf("asking GitHub for the job's identity token: %w", err)
	}
	return parseToken([]byte(answer.Value), "the answer of "+sanitize.Line(u.Host))
}

// A program that queries a server needs some time; one that hangs must not hang fob. Its
// children get commandFarewell to close stdout.
const (
	commandTimeout  = time.Minute
	commandFarewell = 2 * time.Second
)

// run runs the identity command, without a shell and without stdin, and returns its output
// as the token.
func (m Machine) run(ctx context.Context, argv []string) (secret.Secret, error) {
	if len(argv) == 0 || argv[0] == "" {
		return secret.Secret{}, fmt.Errorf("%w: the profile names none", ErrCommand)
	}
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	program := process.Command(ctx, argv[0], argv[1:]...)
	stdout := boundedBuffer{left: maxToken + len("\r\n"), full: cancel}
	program.Stdout, program.Stderr = &stdout, m.Stderr
	program.WaitDelay = commandFarewell
	err := program.Run()
	switch {
	case stdout.left < 0:
		return secret.Secret{}, fmt.Errorf("%w: %q prints more than %d bytes", ErrMalformed, argv[0], maxToken)
	case ctx.Err() != nil:
		return secret.Secret{}, fmt.Errorf("%w: %q: %w", ErrCommand, argv[0], ctx.Err())
	case err != nil:
		return secret.Secret{}, fmt.Errorf("%w: %q: %w", ErrCommand, argv[0], err)
	}
	return parseToken(stdout.text, fmt.Sprintf("the output of %q", argv[0]))
}

// boundedBuffer rejects writes beyond its bound.
type boundedBuffer struct {
	text []byte
	left int // bytes; negative: exceeded
	full func()
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		b.full()
		return 0, io.ErrShortWrite
	}
	b.text = append(b.text, p...)
	return len(p), nil
}
