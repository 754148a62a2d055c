package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/ci"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/destination"
	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/filelock"
	"github.com/fobcli/fob/internal/httpclient"
	"github.com/fobcli/fob/internal/jwk"
	"github.com/fobcli/fob/internal/loopback"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/registrar"
	"github.com/fobcli/fob/internal/registry"
	"github.com/fobcli/fob/internal/safetext"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/session"
	"github.com/fobcli/fob/internal/spelling"
)

// The exit statuses of every command.
const (
	exitDone          = 0
	exitFailed        = 1
	exitUsage         = 2
	exitFindings      = 3
	exitLoginRequired = 4
	exitUnavailable   = 5 // network or server
	exitStorage       = 6 // absent, locked or damaged
	exitLockTimeout   = 7
	exitRefused       = 8 // a credential
	exitInterrupted   = 130
)

// exitMeanings are the lines that a command's help shows of its statuses.
var exitMeanings = map[int]string{
	exitDone:          "done",
	exitFailed:        "failed",
	exitUsage:         "wrong usage",
	exitFindings:      "something was found",
	exitLoginRequired: "login required",
	exitUnavailable:   "server unreachable",
	exitStorage:       "storage unusable",
	exitLockTimeout:   "lock timed out",
	exitRefused:       "credential refused",
	exitInterrupted:   "interrupted",
}

// exitOf is the one table from errors to exit statuses. The first match counts.
func exitOf(err error) int {
	var own *execError
	if errors.As(err, &own) {
		return own.status
	}
	for _, row := range []struct {
		target error
		status int
	}{
		{context.Canceled, exitInterrupted},
		{registrar.ErrNotDelivered, exitFailed}, // whatever kept it from there
		{destination.ErrNotDelivered, exitFailed},
		{session.ErrLoginRequired, exitLoginRequired},
		{filelock.ErrTimeout, exitLockTimeout},
		{credstore.ErrNotFound, exitStorage},
		{credstore.ErrAbsent, exitStorage},
		{credstore.ErrLocked, exitStorage},
		{credstore.ErrTimeout, exitStorage},
		{credstore.ErrRefused, exitStorage},
		{credstore.ErrUnusable, exitStorage},
		{credstore.ErrCorrupt, exitStorage},
		{credstore.ErrNotWritten, exitStorage},
		{credstore.ErrTooLarge, exitStorage},
		{credstore.ErrNoKey, exitStorage},
		{seal.ErrFormat, exitStorage},
		{seal.ErrWrongKey, exitStorage},
		{seal.ErrWrongContext, exitStorage},
		{seal.ErrTampered, exitStorage},
		{atomicfile.ErrUnsafe, exitStorage},
		{registry.ErrInsecure, exitUsage},
		{config.ErrShared, exitUsage},
		{apikey.ErrNoRegistry, exitStorage},
		{apikey.ErrNewerSchema, exitStorage},
		{apikey.ErrFull, exitStorage},
		{apikey.ErrDamaged, exitStorage},
		{apikey.ErrUnusable, exitStorage},
		{apikey.ErrBusy, exitLockTimeout},
		{apikey.ErrUnavailable, exitUnavailable},
		{session.ErrUnbound, exitUsage},
		{oauth.ErrUnavailable, exitUnavailable},
		{ci.ErrUnavailable, exitUnavailable},
		{context.DeadlineExceeded, exitUnavailable},
	} {
		if errors.Is(err, row.target) {
			return row.status
		}
	}
	var refused *apikey.RefusedError
	var found *findingsError
	var told *agentError
	switch {
	case errors.As(err, &told):
		return told.status
	case isUsage(err):
		return exitUsage
	case errors.As(err, &refused):
		return exitRefused
	case errors.As(err, &found), isTampered(err):
		return exitFindings
	}
	return exitFailed
}

// hintOf says what to do next where no command has said something better; profile is the
// name of the one that err is about, if there is one.
func hintOf(err error, profile string) string {
	profile = cmp.Or(profile, "PROFILE")
	foreign := "something other than fob wrote this: look at it, then 'fob logout " + profile + " --local' and 'fob login " + profile + "'"
	if hint := cmp.Or(hintOfDelivery(err), hintOfKey(err)); hint != "" {
		return hint
	}
	if fix := atomicfile.Fix(err); fix != "" {
		return "make it private: '" + fix + "'"
	}
	hint := hintFor(err, []errorHint{
		hintOn(credstore.ErrAbsent, "keep the login in an encrypted file: 'fob login "+profile+" --storage file'; 'fob doctor' says what is missing"),
		hintOn(credstore.ErrLocked, "unlock the keyring, then try again; on a machine where nobody can: 'fob login "+profile+" --storage file'"),
		hintOn(credstore.ErrTimeout, "the keyring did not answer: see whether it waits for you to unlock it, then try again"),
		hintOn(credstore.ErrNotWritten, "the login before is intact. Allow the write if the keyring asks; in files, see to space and permissions"),
		hintOn(credstore.ErrRefused, "see what the keyring complains of, then try again; or 'fob login "+profile+" --storage file'"),
		hintOn(credstore.ErrTooLarge, "no storage takes a login of more than 132 KiB: ask the server for smaller tokens"),
		hintOn(credstore.ErrNoKey, "give the key as when the login was saved: set FOB_SEAL_KEY, or key_file in config.toml. The login itself is whole"),
		hintOn(seal.ErrWrongKey, "try again with the key or passphrase that the login was saved under; only if it is lost start over: 'fob logout "+profile+" --local', then 'fob login "+profile+"'"),
		hintOn(seal.ErrWrongContext, "the profile's issuer or client ID was changed after the login: change it back, or run 'fob login "+profile+"'"),
		hintOn(seal.ErrTampered, "the stored login was changed by something other than fob: find out what, then 'fob logout "+profile+" --local' and 'fob login "+profile+"'"),
		hintOn(seal.ErrFormat, foreign),
		hintOn(credstore.ErrCorrupt, foreign),
		hintOn(atomicfile.ErrUnsafe, "another user or program could read or change it: set its owner and mode (files 0600, folders 0700), or remove it"),
		hintOn(credstore.ErrUnusable, "see to the permissions and the disk of fob's data folder, then try again"),
		hintOn(session.ErrLoginRequired, "run 'fob login "+profile+"'"),
		hintOn(ci.ErrUnknownPlace, "say where it comes from: 'fob profile set "+profile+" --identity github', or gitlab, env:NAME, file:PATH, command"),
		hintOn(ci.ErrNotPermitted, "in the workflow: 'permissions: {id-token: write, contents: read}'; below 'fob exec', give that --keep-identity"),
		hintOn(ci.ErrAbsent, "let the job have one, in GitLab 'id_tokens: {FOB_ID_TOKEN: {aud: https://sso.example.com}}'; below 'fob exec', give that --keep-identity"),
		hintOn(ci.ErrMalformed, "see what the profile's identity names: one token, and nothing else, must come from there"),
		hintOn(ci.ErrAudience, "make it for the issuer, in GitLab 'id_tokens: {FOB_ID_TOKEN: {aud: ISSUER}}'; if the server expects another: 'fob profile set "+profile+" --identity-audience AUDIENCE'"),
		hintOn(ci.ErrCommand, "set identity_command = [\"PROGRAM\", \"ARGUMENT\"] in config.toml, and try it by hand: it prints one token on stdout"),
		hintOn(jwk.ErrKey, "see to the profile's private_key_file: one private key, in PEM or as a JWK"),
		hintOn(oauth.ErrNoClientKey, "name its file: 'fob profile set "+profile+" --private-key-file FILE'; or 'fob login "+profile+" --private-key-stdin'"),
		hintOn(loopback.ErrPortInUse, "end the program that holds it, or choose another port with --redirect-uri"),
		hintOn(loopback.ErrOpenedTwice, "run 'fob login "+profile+" --no-browser' and open the URL yourself: another user may have opened the page first"),
		hintOn(session.ErrUnbound, "take bearer tokens: 'fob profile set "+profile+" --dpop=false'; or keep a login on this machine: 'fob login "+profile+"'"),
		hintOn(session.ErrMoved, "try again: nothing is lost"),
		hintOn(session.ErrReplaced, "try again: nothing is lost"),
		hintOn(filelock.ErrTimeout, "another fob is busy or stopped with this login: see 'ps', then try again"),
		hintOn(httpclient.ErrRedirect, "the endpoint has moved; fob sends no secret to another address. Log in again to learn the new one"),
		hintOn(discovery.ErrOtherIssuer, "if that is the server you mean, name it as it calls itself, to the last slash: --issuer URL"),
		hintOn(oauth.ErrRefused, "see whether the server knows this client, this redirect URI (some compare the port too: --redirect-uri) and the way the client proves itself (--token-endpoint-auth-method; with a key also --client-assertion-audience)"),
		hintOn(oauth.ErrUnavailable, "check the network, proxy and CA settings (--ca-file), then try again"),
	})
	return cmp.Or(hint, hintOfDetail(err, profile))
}

// errorHint is what to do next about an error, whoever meets it.
type errorHint struct {
	target error
	hint   string
}

func hintOn(target error, hint string) errorHint { return errorHint{target, hint} }

// hintFor is the first row's that an error matches.
func hintFor(err error, rows []errorHint) string {
	for _, row := range rows {
		if errors.Is(err, row.target) {
			return row.hint
		}
	}
	return ""
}

// hintOfDetail is hintOf where what to do depends on what stands in the error.
func hintOfDetail(err error, profile string) string {
	var parse *config.ParseError
	var selection *config.SelectError
	var refusal *oauth.Error
	var denial *oauth.AuthorizationError
	var others *atomicfile.OthersError
	var trust *config.TrustError
	switch {
	case errors.As(err, &trust):
		return trust.Hint
	case errors.As(err, &others) && others.Mode&fs.ModeSymlink != 0:
		return "its owner can point it at any file: use the file that it leads to, or remove it: rm " + safetext.ShellQuote(others.Path)
	case errors.As(err, &others) && others.Foreign:
		return fmt.Sprintf("look at what it holds; if you trust it, make it yours: sudo chown %d %s", os.Geteuid(), safetext.ShellQuote(others.Path))
	case errors.As(err, &others):
		return "look at what it holds, then run 'chmod go-w " + safetext.ShellQuote(others.Path) + "'"
	case oauth.RefusesClient(err):
		return "see the client ID and how the client proves itself (--token-endpoint-auth-method; with a key also --client-assertion-audience)"
	case errors.As(err, &refusal) && refusal.Code == "invalid_scope":
		return "'fob status " + profile + "' lists the scopes that were granted; a login with --scope asks for others"
	case errors.As(err, &denial):
		return "if you did not refuse, ask who runs the server whether this client may have these scopes; then run 'fob login " + profile + "'"
	case errors.As(err, &refusal) && refusal.Code == "invalid_target":
		return "name what the server knows; a login with --resource asks for a token of another API"
	case errors.As(err, &refusal) && refusal.Code == "invalid_dpop_proof":
		return "the server binds tokens to keys: 'fob login " + profile + " --dpop'"
	case errors.As(err, &parse):
		return "mend it with an editor; nothing was changed"
	case errors.As(err, &selection) && spelling.Nearest(selection.Choice.Name, selection.Names) != "":
		return fmt.Sprintf("did you mean '%s'?", spelling.Nearest(selection.Choice.Name, selection.Names))
	case errors.As(err, &selection):
		return "name one, or make one the default: 'fob profile set " + profile + " --default'"
	}
	return ""
}

// errLeft says what a command that did not come to its end has left: also one that was
// interrupted says so.
var errLeft = errors.New("as it is now")

func leftf(format string, args ...any) error { return &leftError{fmt.Sprintf(format, args...)} }

type leftError struct{ what string }

func (e *leftError) Error() string { return e.what }

func (*leftError) Is(target error) bool { return target == errLeft }

// failures are those of several profiles. Each is shown with its own hint.
type failures []error

func (f failures) Error() string   { return errors.Join(f...).Error() }
func (f failures) Unwrap() []error { return f }

// of puts the name of the profile before its failure, and into the hint.
func (f *failures) of(profile string, err error) {
	if err != nil {
		*f = append(*f, forProfile(fmt.Errorf("%s: %w", profile, err), profile))
	}
}

// err is nil where nothing has failed.
func (f failures) err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// hintError carries what to do next beside what went wrong.
type hintError struct {
	error
	hint string
}

func (e *hintError) Unwrap() error { return e.error }

func withHint(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &hintError{error: err, hint: fmt.Sprintf(format, args...)}
}

// profileError is a failure of one profile, whose name its hint needs.
type profileError struct {
	error
	profile string
}

func (e *profileError) Unwrap() error { return e.error }

// forProfile says which profile a failure is about.
func forProfile(err error, name string) error {
	if err == nil {
		return nil
	}
	return &profileError{error: err, profile: name}
}

// carriedHint is the hint that an error carries, or "".
func carriedHint(err error) string {
	var hinted *hintError
	if errors.As(err, &hinted) {
		return hinted.hint
	}
	return ""
}

// hintIn is the hint that an error carries, else the general one.
func hintIn(err error) string {
	if hint := carriedHint(err); hint != "" {
		return hint
	}
	var named *profileError
	if errors.As(err, &named) {
		return hintOf(err, named.profile)
	}
	return hintOf(err, "")
}

// usageError is a call that fob does not understand, or cannot do as asked.
type usageError struct{ what string }

func (e *usageError) Error() string { return e.what }

func isUsageError(err error) bool {
	var usage *usageError
	return errors.As(err, &usage)
}

// usageOf makes a usage error of another one.
func usageOf(err error) error { return &usageError{what: err.Error()} }

func usagef(format string, args ...any) error {
	return &usageError{what: fmt.Sprintf(format, args...)}
}

// findingsError is what a search was for: no failure, and a status of its own.
type findingsError struct{ what string }

func findingsOf(what string) error { return &findingsError{what} }

func (e *findingsError) Error() string { return e.what }
