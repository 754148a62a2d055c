package hint_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fobcli/fob/cmd"
	"github.com/fobcli/fob/cmd/internal/hint"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/ci"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/destination"
	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/idtoken"
	"github.com/fobcli/fob/internal/jwt"
	"github.com/fobcli/fob/internal/loopback"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/records"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/secretstore"
	"github.com/fobcli/fob/internal/session"
)

// hintedErrors are errors of every kind that has a hint.
func hintedErrors() []error {
	errs := []error{
		apikey.ErrNotFound, apikey.ErrNoRegistry, apikey.ErrNewerSchema, apikey.ErrFull, apikey.ErrDamaged, apikey.ErrUnusable, apikey.ErrBusy, apikey.ErrUnavailable,
		keys.ErrNoPepper, keys.ErrRotated, keys.ErrRotating, keys.ErrTakenOver, keys.ErrStillUsed, keys.ErrNotDelivered, keys.ErrNotRotatable, keys.ErrRevoked,
		apikey.ErrInsecure, credstore.ErrAbsent, credstore.ErrLocked, credstore.ErrTimeout, credstore.ErrNotWritten, credstore.ErrRefused, credstore.ErrTooLarge,
		syscall.ENOSPC, syscall.EROFS, credstore.ErrNoKey, credstore.ErrKeyMissing, credstore.ErrKeyDamaged, &credstore.OtherKeyError{Name: "login/work"}, credstore.ErrCorrupt, credstore.ErrSameKey, credstore.ErrUnusable, seal.ErrWrongKey, seal.ErrWrongContext, seal.ErrTampered, seal.ErrFormat, atomicfile.ErrUnsafe,
		session.ErrLoginRequired, session.ErrUnbound, session.ErrMoved, session.ErrReplaced, filelock.ErrTimeout, filelock.ErrUnwritable, sanitize.ErrUTF16, httpclient.ErrRedirect, jwt.ErrKey,
		ci.ErrUnknownPlace, ci.ErrNotPermitted, ci.ErrAbsent, ci.ErrMalformed, ci.ErrAudience, ci.ErrCommand, loopback.ErrPortInUse, loopback.ErrOpenedTwice,
		oauth.ErrNoClientKey, oauth.ErrRefused, oauth.ErrUnavailable, &discovery.OtherIssuerError{Named: "https://sso.example.com/"},
		&oauth.Error{Code: "invalid_client"}, &oauth.Error{Code: "invalid_scope"}, &oauth.Error{Code: "invalid_target"}, &oauth.Error{Code: "invalid_dpop_proof"},
		&oauth.AuthorizationError{}, &idtoken.AudienceError{Audience: "https://other.example.com"}, fs.ErrNotExist, &config.ParseError{}, &config.SelectError{}, &config.SelectError{Names: []string{"work"}}, &config.SelectError{Choice: config.Choice{Name: "x"}, Names: []string{"work", "home"}}, &config.StorageError{Name: "x"}, &config.TrustError{Hint: "trust it"},
		&apikey.TamperedError{}, &records.PeppersError{}, destination.ErrNoCredential, destination.ErrValue, &destination.CommandError{}, &destination.SetupError{Hint: "set it up"},
	}
	for _, reason := range []apikey.Reason{apikey.Malformed, apikey.Mistyped, apikey.Unknown, apikey.OtherEnvironment, apikey.IsDisabled, apikey.OutOfScope, apikey.IsExpired, apikey.IsRevoked} {
		errs = append(errs, &apikey.RefusedError{Reason: reason})
	}
	for _, status := range []int{401, 403, 404, 409, 412, 418, 429, 500, 503} {
		errs = append(errs, &destination.AnswerError{Status: status})
	}
	for _, sentinel := range []error{secretstore.ErrNoValue, secretstore.ErrOpen, secretstore.ErrNotOpen, config.ErrShared, secretstore.ErrUnanswered, secretstore.ErrSame, secretstore.ErrValue, seal.ErrTampered, credstore.ErrNoKey} {
		errs = append(errs, secretstore.ForSecret(sentinel, "stripe"))
	}
	return errs
}

// A hint names commands and flags that exist, and the profile that it is about.
func TestOf_CommandsExist(t *testing.T) {
	command := regexp.MustCompile(`'fob ([^']*)'`)
	commands := 0
	for _, cause := range hintedErrors() {
		cause = keys.ForKey(cause, "1OOivdDZfQCU")
		for i, err := range []error{cause, fmt.Errorf("work: %w", cli.ForProfile(cause, "work")), cli.ForLogin(cause, "work")} {
			text := hint.Of(err)
			if text == "" || strings.Contains(text, "%!") {
				t.Errorf("%T %v has the hint %q", cause, cause, text)
			}
			if i > 0 && strings.Contains(text, "PROFILE'") || strings.Contains(text, "''") {
				t.Errorf("%T %v: %s", cause, cause, text)
			}
			if wrong := wrongForm(text); wrong != "" {
				t.Errorf("%T %v: %s: %s", cause, cause, wrong, text)
			}
			for _, call := range command.FindAllStringSubmatch(text, -1) {
				commands++
				words := strings.Fields(call[1])
				c, rest, err := cmd.Root().Find(words)
				if err != nil || !c.HasParent() || c.HasSubCommands() && len(rest) > 0 {
					t.Errorf("%q in %q: %v", call[0], text, err)
				} else if err := c.ParseFlags(rest); err != nil {
					t.Errorf("%q in %q: %v", call[0], text, err)
				}
			}
		}
	}
	if commands < 80 {
		t.Errorf("only %d commands were found", commands)
	}
}

// wrongForm says what is wrong with the form of a hint, which is an imperative.
func wrongForm(hint string) string {
	imperatives := "add allow approve ask change check choose compare copy create find fix free get log make name put remove register request restore rotate run save set stop trust try unlock update use wait"
	first, _, _ := strings.Cut(hint, " ")
	switch deletion := strings.Index(hint, "logout"); {
	case !slices.Contains(strings.Fields(imperatives), first) && !strings.HasPrefix(hint, "did you mean '"):
		return "it does not start with an imperative"
	case strings.Contains(hint, "seal.key"):
		return "it names the key, without which every login is lost"
	case strings.HasSuffix(hint, "."):
		return "it ends with a full stop"
	case regexp.MustCompile(`'[^']*\b(PROFILE|NAME|ID|ISSUER|AUDIENCE|FOLDER|URL|SCOPE|FILE)\b[^']*'`).MatchString(hint):
		return "a command in it has to be completed"
	case deletion >= 0 && (!strings.Contains(hint[:deletion], "'fob storage restore ") || !strings.Contains(hint[:deletion], "only without one")):
		return "it advises to delete before it advises to restore"
	}
	return ""
}

// A test of the form can fail.
func TestWrongForm(t *testing.T) {
	for hint, right := range map[string]bool{
		"run 'fob login work'":                          true,
		"did you mean 'work'?":                          true,
		"see the platform's address":                    false,
		"the platform is not well: try again later":     false,
		"run 'fob login PROFILE'":                       false,
		"run 'fob login work'.":                         false,
		"remove seal.key, then try again":               false,
		"find out what, then 'fob logout work --local'": false,
	} {
		if wrong := wrongForm(hint); (wrong == "") != right {
			t.Errorf("%q: %q", hint, wrong)
		}
	}
}

func TestOf(t *testing.T) {
	absent := fmt.Errorf("no D-Bus: %w", credstore.ErrAbsent)
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"the error's own":            {cli.WithHint(absent, "do that"), "do that"},
		"no profile is known":        {session.ErrLoginRequired, "run 'fob login'"},
		"a profile":                  {cli.ForProfile(session.ErrLoginRequired, "work"), "run 'fob login work'"},
		"a login":                    {cli.ForLogin(session.ErrLoginRequired, "work"), "run the same command"},
		"a login, with a flag":       {cli.ForLogin(absent, "work"), "the same command with '--storage file'"},
		"a login, with its own":      {cli.ForLogin(cli.WithHint(absent, "do that"), "work"), "do that"},
		"only the login's cause":     {errors.Join(cli.ForLogin(oauth.ErrUnavailable, "work"), apikey.ErrBusy), "check the network"},
		"a redirect":                 {cli.ForLogin(&oauth.Error{Code: "invalid_request", Description: "The requested redirect_uri is missing in the client configuration."}, "work"), "register the redirect URI with the client, or name the registered one: the same command with '--redirect-uri "},
		"a slip":                     {&config.SelectError{Choice: config.Choice{Name: "worc"}, Names: []string{"home", "work"}}, "did you mean 'work'?"},
		"a slip in the default":      {&config.SelectError{Choice: config.Choice{Name: "worc", By: config.ByDefault}, Names: []string{"home", "work"}}, "fob profile set work --default"},
		"a link of another user":     {&atomicfile.OthersError{Path: "/a b", Mode: fs.ModeSymlink}, "rm '/a b'"},
		"a file of another user":     {&atomicfile.OthersError{Path: "/x", Foreign: true}, "sudo chown "},
		"a file that others write":   {&atomicfile.OthersError{Path: "/x", Mode: 0o666}, "'chmod go-w /x'"},
		"a rate limit with its time": {&destination.AnswerError{Status: http.StatusTooManyRequests, RetryAfter: 5 * time.Minute}, "in 5 min"},
		"a login page in between":    {fmt.Errorf("%w: %w", destination.ErrNotDelivered, httpclient.ErrMalformed), "check the platform's address"},
		"a secret's name":            {secretstore.ForSecret(secretstore.ErrNoValue, "stripe/prod"), "'fob secret set stripe/prod'"},
		"an unknown error":           {errors.New("x"), ""},
	} {
		if got := hint.Of(test.err); !strings.Contains(got, test.want) || test.want == "" && got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}
