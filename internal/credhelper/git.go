package credhelper

import (
	"bufio"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/secret"
)

// Credential is what is answered.
type Credential struct {
	Username  string // that goes with the token; empty: any will do
	Token     secret.Secret
	ExpiresAt time.Time // zero: nobody knows
}

// AnyUsername stands in where a host takes every name beside a token.
const AnyUsername = "oauth2"

// Name is the username that is answered.
func (c Credential) Name() string { return cmp.Or(c.Username, AnyUsername) }

// GitRequest is one description of a credential, as git writes it (gitcredentials(7)).
type GitRequest struct {
	Place    Place
	Username string
	Refused  secret.Secret // with erase: the token that the host did not take; zero: not said

	authtype bool     // git takes a header as it stands: 2.46 and later
	schemes  []string // that the host has offered, in lower case
}

const maxGitLines = 256

// ReadGit reads a description up to a blank line or the end. Its values hold no control
// character, no key but a list comes twice, and no line is cut off.
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

// readAttributes reads lines of key=value. An empty value starts a list anew.
func readAttributes(r io.Reader) (values map[string]string, lists map[string][]string, err error) {
	values, lists = make(map[string]string), make(map[string][]string)
	lines := bufio.NewReader(io.LimitReader(r, maxInput))
	for count := 0; ; count++ {
		line, err := lines.ReadString('\n')
		line, whole := strings.CutSuffix(line, "\n")
		switch {
		case err == io.EOF && line == "", err == nil && line == "":
			return values, lists, nil
		case err != nil && err != io.EOF:
			return nil, nil, err
		case !whole:
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

// WriteGit writes the answer. To a git that takes a header as it stands, it is marked as
// one that no other helper should keep; any other git gets username and password.
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

// takesBearer follows what the host has offered. Where git does not say, a host at which
// tokens go with a username takes them as a password.
func (q *GitRequest) takesBearer(c Credential) bool {
	if len(q.schemes) > 0 {
		return slices.Contains(q.schemes, "bearer")
	}
	return c.Username == ""
}

// QuitGit tells git to ask nobody else, and not to prompt.
func QuitGit(w io.Writer) error {
	_, err := io.WriteString(w, "quit=1\n")
	return err
}

// CapabilitiesOfGit answers git's question what the helper can do.
func CapabilitiesOfGit(w io.Writer) error {
	_, err := io.WriteString(w, "version 0\ncapability authtype\n")
	return err
}

// tokenIn finds the token in a header that WriteGit has made.
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
