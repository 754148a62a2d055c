package credhelper

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/process"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// Credential is a credential for another program.
type Credential struct {
	Username  string // for the token; empty: any works
	Token     secret.Secret
	ExpiresAt time.Time // zero: unknown
}

// AnyUsername is used with hosts that accept any name with a token.
const AnyUsername = "oauth2"

// Name returns the username to print.
func (c Credential) Name() string { return cmp.Or(c.Username, AnyUsername) }

// GitRequest is git's description of a credential (gitcredentials(7)).
type GitRequest struct {
	Place    Place
	Username string
	Refused  secret.Secret // with erase: the token that the host refused; zero: unknown

	authtype bool     // git supports whole headers: 2.46 and later
	schemes  []string // offered by the host, in lower case
}

const maxGitLines = 256

// ReadGit reads a description up to an empty line or the end. It rejects values with
// control characters, keys other than lists that are repeated, and incomplete lines.
func ReadGit(r io.Reader) (*GitRequest, error) {
	values, lists, err := readAttributes(r)
	if err != nil {
		return nil, err
	}
	protocol, hasProtocol := values["protocol"]
	host, hasHost := values["host"]
	if !hasProtocol || !hasHost {
		return nil, fmt.Errorf("%w: it names no protocol or no host", ErrInput)
	}
	q := &GitRequest{
		Place:    NewPlace(protocol, host, values["path"]),
		Username: values["username"],
		Refused:  secret.New(values["password"]),
		authtype: slices.Contains(lists["capability[]"], "authtype"),
	}
	if credential := values["credential"]; credential != "" {
		q.Refused = tokenIn(values["authtype"], credential)
	}
	for _, challenge := range lists["wwwauth[]"] {
		scheme, _, _ := strings.Cut(challenge, " ")
		q.schemes = append(q.schemes, strings.ToLower(scheme))
	}
	return q, nil
}

// readAttributes reads lines of key=value. An empty value resets a list.
func readAttributes(r io.Reader) (values map[string]string, lists map[string][]string, err error) {
	values, lists = make(map[string]string), make(map[string][]string)
	lines := bufio.NewReader(io.LimitReader(r, maxInput))
	for count := 0; ; count++ {
		line, err := lines.ReadString('\n')
		line, complete := strings.CutSuffix(line, "\n")
		switch {
		case err == io.EOF && line == "", err == nil && line == "":
			return values, lists, nil
		case err != nil && err != io.EOF:
			return nil, nil, err
		case !complete:
			return nil, nil, fmt.Errorf("%w: its last line is cut off, or it has more than %d bytes", ErrInput, maxInput)
		case count == maxGitLines:
			return nil, nil, fmt.Errorf("%w: it has more than %d lines", ErrInput, maxGitLines)
		}
		if err := addAttribute(values, lists, line); err != nil {
			return nil, nil, err
		}
	}
}

func addAttribute(values map[string]string, lists map[string][]string, line string) error {
	key, value, found := strings.Cut(line, "=")
	_, again := values[key]
	switch {
	case !found || key == "":
		return fmt.Errorf("%w: it is not a list of key=value", ErrInput)
	case strings.ContainsFunc(line, isControl):
		return fmt.Errorf("%w: the line of %q holds a control character", ErrInput, sanitize.Line(key))
	case strings.HasSuffix(key, "[]") && value == "":
		delete(lists, key)
	case strings.HasSuffix(key, "[]"):
		lists[key] = append(lists[key], value)
	case again:
		return fmt.Errorf("%w: it has two lines of %q", ErrInput, sanitize.Line(key))
	default:
		values[key] = value
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// WriteGit prints the credential: for git with authtype as a header that other helpers must
// not store, otherwise as username and password.
func (q *GitRequest) WriteGit(w io.Writer, c Credential) error {
	token := c.Token.Reveal()
	if !sanitize.IsVisibleASCII(token) || strings.ContainsFunc(c.Username, isControl) {
		return errors.New("the token cannot be written in git's protocol")
	}
	var b strings.Builder
	switch {
	case q.authtype && q.takesBearer(c):
		fmt.Fprintf(&b, "capability[]=authtype\nauthtype=Bearer\ncredential=%s\nephemeral=1\n", token)
	case q.authtype:
		pair := base64.StdEncoding.EncodeToString([]byte(c.Name() + ":" + token))
		fmt.Fprintf(&b, "capability[]=authtype\nauthtype=Basic\ncredential=%s\nephemeral=1\n", pair)
	default:
		fmt.Fprintf(&b, "username=%s\npassword=%s\n", c.Name(), token)
	}
	if !c.ExpiresAt.IsZero() {
		fmt.Fprintf(&b, "password_expiry_utc=%d\n", c.ExpiresAt.Unix())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// takesBearer reports whether to send a bearer token, by what the host has offered. If git
// does not say, hosts with a username for tokens expect a password.
func (q *GitRequest) takesBearer(c Credential) bool {
	if len(q.schemes) > 0 {
		return slices.Contains(q.schemes, "bearer")
	}
	return c.Username == ""
}

// QuitGit makes git stop: no other helper, no prompt.
func QuitGit(w io.Writer) error {
	_, err := io.WriteString(w, "quit=1\n")
	return err
}

// CapabilitiesOfGit prints what the helper supports.
func CapabilitiesOfGit(w io.Writer) error {
	_, err := io.WriteString(w, "version 0\ncapability authtype\n")
	return err
}

// tokenIn returns the token in a header from WriteGit.
func tokenIn(authtype, credential string) secret.Secret {
	if !strings.EqualFold(authtype, "basic") {
		return secret.New(credential)
	}
	pair, err := base64.StdEncoding.DecodeString(credential)
	_, token, found := strings.Cut(string(pair), ":")
	if err != nil || !found {
		return secret.New(credential)
	}
	return secret.New(token)
}

// GitConfig adds fob to git's configuration and removes it, by calling git.
type GitConfig struct {
	Local   bool                      // the repository of the working directory; else the user's configuration
	Environ []string                  // for git
	DryRun  func(args []string) error // if set, called with the arguments of each change instead
	Changes int                       // number of changes made, or that would be made
}

// Install makes fob the helper for the places of the rules, besides other helpers. With a
// profile, fob answers only with that one; it is a *UsedError if git uses another profile
// for one of the places.
func (g *GitConfig) Install(ctx context.Context, rules []Rule, fob, profile string) error {
	helper := "!'" + strings.ReplaceAll(fob, "'", `'\''`) + "'" + gitHelperWords
	if profile != "" {
		helper += " --profile " + profile
		if err := g.checkUnused(ctx, rules, profile); err != nil {
			return err
		}
	}
	for _, r := range rules {
		section := "credential." + r.Place.String()
		if err := g.add(ctx, section+".helper", helper); err != nil {
			return err
		}
		if r.Place.IsPart() { // git only passes the path if this is set
			if err := g.set(ctx, section+".useHttpPath", "true"); err != nil {
				return err
			}
		}
	}
	return nil
}

// UsedError means that git uses fob with another profile for a place.
type UsedError struct {
	Place   Place
	Profile string
	Scope   string // --global or --local
}

func (e *UsedError) Error() string {
	return fmt.Sprintf("git already uses profile %q for %s", e.Profile, e.Place)
}

// checkUnused returns a *UsedError for a place with another profile. For a repository, the
// user's configuration counts too: git asks its helpers first.
func (g *GitConfig) checkUnused(ctx context.Context, rules []Rule, profile string) error {
	for _, scope := range slices.Compact([]string{"--global", g.scope()}) {
		for _, r := range rules {
			present, err := g.list(ctx, scope, "--get-all", "credential."+r.Place.String()+".helper")
			if err != nil {
				return err
			}
			for _, value := range present {
				if other, own := ownHelper(value); own && other != "" && other != profile {
					return &UsedError{r.Place, other, scope}
				}
			}
		}
	}
	return nil
}

// add makes helper the only one of fob's helpers among the values of a key.
func (g *GitConfig) add(ctx context.Context, key, helper string) error {
	present, err := g.values(ctx, key)
	if err != nil || slices.Contains(present, helper) {
		return err
	}
	for _, value := range present {
		if _, own := ownHelper(value); own { // a fob that has moved, or for another profile
			if err := g.change(ctx, "--fixed-value", "--unset-all", key, value); err != nil {
				return err
			}
		}
	}
	return g.change(ctx, "--add", key, helper)
}

// Uninstall removes everything that Install has added, for any rules.
func (g *GitConfig) Uninstall(ctx context.Context) error {
	entries, err := g.list(ctx, g.scope(), "--get-regexp", `^credential\..*\.helper$`)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		key, value, _ := strings.Cut(entry, "\n")
		if _, own := ownHelper(value); !own {
			continue
		}
		if err := g.change(ctx, "--fixed-value", "--unset-all", key, value); err != nil {
			return err
		}
		section := strings.TrimSuffix(key, ".helper")
		if place, err := ParsePlace(strings.TrimPrefix(section, "credential.")); err == nil && place.IsPart() {
			if err := g.unset(ctx, section+".useHttpPath"); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *GitConfig) set(ctx context.Context, key, value string) error {
	present, err := g.values(ctx, key)
	if err != nil || slices.Contains(present, value) {
		return err
	}
	return g.change(ctx, key, value)
}

func (g *GitConfig) unset(ctx context.Context, key string) error {
	present, err := g.values(ctx, key)
	if err != nil || len(present) == 0 {
		return err
	}
	return g.change(ctx, "--unset-all", key)
}

// OtherHelpers returns the helpers that git calls for every host.
func (g *GitConfig) OtherHelpers(ctx context.Context) ([]string, error) {
	helpers, err := g.list(ctx, "--get-all", "credential.helper")
	return slices.DeleteFunc(helpers, func(helper string) bool { return helper == "" }), err
}

const gitHelperWords = " helper git"

// ownHelper recognizes a helper that Install has added, for any fob, and returns its profile.
func ownHelper(value string) (profile string, own bool) {
	command, shell := strings.CutPrefix(value, "!'")
	program, options, found := strings.Cut(command, "'"+gitHelperWords)
	profile, named := strings.CutPrefix(options, " --profile ")
	own = shell && found && program != "" &&
		(options == "" || named && profile != "" && strings.Trim(profile, "abcdefghijklmnopqrstuvwxyz0123456789-") == "")
	return profile, own
}

func (g *GitConfig) scope() string {
	if g.Local {
		return "--local"
	}
	return "--global"
}

func (g *GitConfig) values(ctx context.Context, key string) ([]string, error) {
	return g.list(ctx, g.scope(), "--get-all", key)
}

// list returns the output lines of git config, none if there are no entries.
func (g *GitConfig) list(ctx context.Context, args ...string) ([]string, error) {
	const notFound = 1 // git config's exit status
	out, err := g.git(ctx, append([]string{"config", "--null"}, args...))
	switch exit, ok := errors.AsType[*exec.ExitError](err); {
	case ok && exit.ExitCode() == notFound:
		return nil, nil
	case err != nil || out == "":
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(out, "\x00"), "\x00"), nil
}

func (g *GitConfig) change(ctx context.Context, args ...string) error {
	g.Changes++
	args = append([]string{"config", g.scope()}, args...)
	if g.DryRun != nil {
		return g.DryRun(args)
	}
	_, err := g.git(ctx, args)
	return err
}

func (g *GitConfig) git(ctx context.Context, args []string) (string, error) {
	child := process.Command(ctx, "git", args...)
	child.Env = g.Environ
	var stdout, stderr bytes.Buffer
	child.Stdout, child.Stderr = &stdout, &stderr
	err := child.Run()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", fmt.Errorf("there is no git on this machine: %w", err)
	case err != nil:
		message, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
		return "", fmt.Errorf("git %s: %s (%w)", args[0], sanitize.Line(message), err)
	}
	return stdout.String(), nil
}
