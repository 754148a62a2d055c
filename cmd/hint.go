package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"

	cmdauth "github.com/fobcli/fob/cmd/auth"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/apikey/registry"
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

// hintOf says what to do next: the hint that an error carries, else the general one for
// its kind, with the name of the profile that it is about.
func hintOf(err error) string {
	if hint := cmp.Or(cli.CarriedHint(err), pepperHint(err), secretHint(err)); hint != "" {
		return hint
	}
	s := subject{profile: "PROFILE"}
	if failed, ok := errors.AsType[*cmdauth.LoginError](err); ok {
		s, err = subject{failed.Profile, true}, failed
	} else if failed, ok := errors.AsType[*cli.ProfileError](err); ok {
		s.profile = failed.Profile
	}
	fix := atomicfile.Fix(err)
	return cmp.Or(deliveryHint(err), keyHint(err), cli.TextIf(fix != "", "make it private: '"+fix+"'"), loginHint(err, s), typedHint(err, s))
}

type subject struct {
	profile string
	inLogin bool // its login failed: the hint repeats that command, which may have had other flags
}

func (s subject) login(flags string) string {
	switch {
	case s.inLogin && flags == "":
		return "the same command"
	case s.inLogin:
		return "the same command with '" + flags + "'"
	}
	return "'" + strings.TrimSpace("fob login "+s.profile+" "+flags) + "'"
}

func (s subject) setting(flags string) string {
	return "'fob profile set " + s.profile + " " + flags + "'"
}

func (s subject) logout() string { return "'fob logout " + s.profile + " --local'" }

func keyID(err error) string {
	if failed, ok := errors.AsType[*keys.KeyError](err); ok {
		return failed.ID
	}
	return "ID"
}

func keyHint(err error) string {
	id := keyID(err)
	return cli.HintFor(err, []cli.ErrorHint{
		cli.HintOn(apikey.ErrNotFound, "run 'fob key list' for the keys of the registry"),
		cli.HintOn(apikey.ErrNoRegistry, "the first 'fob key create' or 'fob key import' creates it; set FOB_REGISTRY if it is elsewhere"),
		cli.HintOn(apikey.ErrNewerSchema, "update fob on this machine"),
		cli.HintOn(apikey.ErrFull, "free some disk space; the registry is unchanged"),
		cli.HintOn(apikey.ErrDamaged, "restore a backup of it, or a list of 'fob key export' with 'fob key import'"),
		cli.HintOn(apikey.ErrUnusable, "check FOB_REGISTRY, and the permissions of what it names"),
		cli.HintOn(apikey.ErrBusy, "other programs are using the registry: try again"),
		cli.HintOn(apikey.ErrUnavailable, "check that the database runs and can be reached, then try again; no change was saved in part"),
		cli.HintOn(keys.ErrNoPepper, "run 'fob key pepper add p1', then 'fob key pepper use p1'; a list to import names it in the 'pepper' column"),
		cli.HintOn(keys.ErrRotated, "rotate its replacement; to revoke the old key now, run 'fob key revoke "+id+"'"),
		cli.HintOn(keys.ErrRotating, "wait until it is done; if it was killed, run this again then"),
		cli.HintOn(keys.ErrTakenOver, "use the key that the other fob printed"),
		cli.HintOn(keys.ErrStillUsed, "run 'fob key show "+id+"' to see when it was last used; 'fob key rotate --resume "+id+" --force' revokes it"),
		cli.HintOn(keys.ErrNotDelivered, "the old key is unchanged, except with --compromised; run it again"),
		cli.HintOn(keys.ErrNotRotatable, "create a new key with 'fob key create'"),
		cli.HintOn(keys.ErrRevoked, "create a new key with 'fob key create'"),
		cli.HintOn(registry.ErrInsecure, "remove sslmode or set it to verify-full, and name the server's CA with sslrootcert=FILE"),
	})
}

func loginHint(err error, s subject) string {
	foreign := "something other than fob wrote this: look at it, then " + s.logout() + " and " + s.login("")
	return cli.HintFor(err, []cli.ErrorHint{
		cli.HintOn(credstore.ErrAbsent, "keep the login in an encrypted file: "+s.login("--storage file")+"; 'fob doctor' shows what is missing"),
		cli.HintOn(credstore.ErrLocked, "unlock the keyring, then try again; without a desktop: "+s.login("--storage file")),
		cli.HintOn(credstore.ErrTimeout, "the keyring did not answer: see whether it waits for you to unlock it, then try again"),
		cli.HintOn(credstore.ErrNotWritten, "the previous login is intact. Allow the write if the keyring asks; for files, check free space and permissions"),
		cli.HintOn(credstore.ErrRefused, "see what the keyring complains of, then try again; or "+s.login("--storage file")),
		cli.HintOn(credstore.ErrTooLarge, "no storage takes a login of more than 132 KiB: ask the server for smaller tokens"),
		cli.HintOn(credstore.ErrNoKey, "give the key as when the login was saved: set FOB_SEAL_KEY, or key_file in config.toml. The login itself is whole"),
		cli.HintOn(seal.ErrWrongKey, "try again with the key or passphrase that the login was saved under; only if it is lost start over: "+s.logout()+", then "+s.login("")),
		cli.HintOn(seal.ErrWrongContext, "the profile's issuer or client ID was changed after the login: change it back, or run "+s.login("")),
		cli.HintOn(seal.ErrTampered, "the stored login was changed by something other than fob: find out what, then "+s.logout()+" and "+s.login("")),
		cli.HintOn(seal.ErrFormat, foreign),
		cli.HintOn(credstore.ErrCorrupt, foreign),
		cli.HintOn(atomicfile.ErrUnsafe, "another user or program could read or change it: set its owner and mode (files 0600, folders 0700), or remove it"),
		cli.HintOn(credstore.ErrUnusable, "check the permissions and the disk of fob's data folder, then try again"),
		cli.HintOn(session.ErrLoginRequired, "run "+s.login("")),
		cli.HintOn(ci.ErrUnknownPlace, "set where it comes from: "+s.setting("--identity github")+", or gitlab, env:NAME, file:PATH, command"),
		cli.HintOn(ci.ErrNotPermitted, "in the workflow: 'permissions: {id-token: write, contents: read}'; below 'fob exec', give that --keep-identity"),
		cli.HintOn(ci.ErrAbsent, "let the job have one, in GitLab 'id_tokens: {FOB_ID_TOKEN: {aud: https://sso.example.com}}'; below 'fob exec', give that --keep-identity"),
		cli.HintOn(ci.ErrMalformed, "see what the profile's identity names: one token, and nothing else, must come from there"),
		cli.HintOn(ci.ErrAudience, "make it for the issuer, in GitLab 'id_tokens: {FOB_ID_TOKEN: {aud: ISSUER}}'; if the server expects another: "+s.setting("--identity-audience AUDIENCE")),
		cli.HintOn(ci.ErrCommand, "set identity_command = [\"PROGRAM\", \"ARGUMENT\"] in config.toml, and try it by hand: it prints one token on stdout"),
		cli.HintOn(jwt.ErrKey, "check the profile's private_key_file: it must contain one private key, in PEM or as a JWK"),
		cli.HintOn(oauth.ErrNoClientKey, "name its file: "+s.setting("--private-key-file FILE")+"; or "+s.login("--private-key-stdin")),
		cli.HintOn(loopback.ErrPortInUse, "end the program that holds it, or choose another port with --redirect-uri"),
		cli.HintOn(loopback.ErrOpenedTwice, "run "+s.login("--no-browser")+" and open the URL yourself: another user may have opened the page first"),
		cli.HintOn(session.ErrUnbound, "take bearer tokens: "+s.setting("--dpop=false")+"; or keep a login on this machine: "+s.login("")),
		cli.HintOn(session.ErrMoved, "try again: nothing is lost"),
		cli.HintOn(session.ErrReplaced, "try again: nothing is lost"),
		cli.HintOn(filelock.ErrTimeout, "another fob is busy or stopped with this login: see 'ps', then try again"),
		cli.HintOn(httpclient.ErrRedirect, "the endpoint has moved; fob sends no secret to another address. Log in again to learn the new one"),
		cli.HintOn(oauth.ErrRefused, "see whether the server knows this client, this redirect URI (some compare the port too: --redirect-uri) and the way the client proves itself (--token-endpoint-auth-method; with a key also --client-assertion-audience)"),
		cli.HintOn(oauth.ErrUnavailable, "check the network, proxy and CA settings (--ca-file), then try again"),
	})
}

// typedHint is the hint where it depends on what the error contains.
func typedHint(err error, s subject) string {
	if refused, ok := errors.AsType[*apikey.RefusedError](err); ok {
		return refusedKeyHint(refused.Reason, keyID(err))
	}
	if trust, ok := errors.AsType[*config.TrustError](err); ok {
		return trust.Hint
	}
	if others, ok := errors.AsType[*atomicfile.OthersError](err); ok {
		return othersHint(others)
	}
	if untrusted, ok := errors.AsType[*idtoken.AudienceError](err); ok {
		return "if that audience may see who you are, trust it (trusted_audiences in config.toml): " + s.login("--trusted-audience "+sanitize.ShellQuote(untrusted.Audience))
	}
	if other, ok := errors.AsType[*discovery.OtherIssuerError](err); ok {
		return otherIssuerHint(other, s)
	}
	if selection, ok := errors.AsType[*config.SelectError](err); ok {
		if near := cli.Nearest(selection.Choice.Name, selection.Names); near != "" {
			return fmt.Sprintf("did you mean '%s'?", near)
		}
		return "name one, or make one the default: " + s.setting("--default")
	}
	switch {
	case errors.As(err, new(*apikey.TamperedError)):
		return "see who can write the registry's database; an earlier 'fob key export' shows what a record was, and a key in doubt is best revoked"
	case errors.As(err, new(*config.StorageError)):
		return "choose 'keyring' or 'file', or 'none' where nothing is to be kept"
	case errors.As(err, new(*config.ParseError)):
		return "fix it with an editor; nothing was changed"
	case oauth.RefusesClient(err):
		return "see the client ID and how the client proves itself (--token-endpoint-auth-method; with a key also --client-assertion-audience)"
	case oauth.HasCode(err, "invalid_scope"):
		return "'fob status " + s.profile + "' lists the scopes that were granted; a login with --scope asks for others"
	case errors.As(err, new(*oauth.AuthorizationError)):
		return "if you did not refuse, ask who runs the server whether this client may have these scopes; then run " + s.login("")
	case oauth.HasCode(err, "invalid_target"):
		return "name what the server knows; a login with --resource asks for a token of another API"
	case oauth.HasCode(err, "invalid_dpop_proof"):
		return "the server binds tokens to keys: " + s.login("--dpop")
	}
	return ""
}

func otherIssuerHint(other *discovery.OtherIssuerError, s subject) string {
	switch other.Named {
	case strings.TrimSuffix(other.Asked, "/"):
		return "write the issuer without the slash at its end: " + s.login("--issuer "+sanitize.ShellQuote(other.Named))
	case other.Asked + "/":
		return "write the issuer with a slash at its end: " + s.login("--issuer "+sanitize.ShellQuote(other.Named))
	}
	return "if you know that server, use the issuer as it names itself: " + s.login("--issuer URL")
}

func othersHint(others *atomicfile.OthersError) string {
	path := sanitize.ShellQuote(others.Path)
	switch {
	case others.Mode&fs.ModeSymlink != 0:
		return "its owner can point it at any file: use the file that it leads to, or remove it: rm " + path
	case others.Foreign:
		return fmt.Sprintf("look at what it holds; if you trust it, make it yours: sudo chown %d %s", os.Geteuid(), path)
	}
	return "look at what it holds, then run 'chmod go-w " + path + "'"
}

func refusedKeyHint(reason apikey.Reason, id string) string {
	return map[apikey.Reason]string{
		apikey.Malformed:        "put only the key on stdin, in ASCII: no second line, no 'Bearer', no quotes",
		apikey.Mistyped:         "the checksum does not match: copy the whole key again",
		apikey.Unknown:          "copy the whole key again, and check that FOB_REGISTRY names the registry that has it",
		apikey.OtherEnvironment: "check --env, and which key it is: its second word is the environment",
		apikey.IsDisabled:       "to accept it again, run 'fob key update " + id + " --disabled=false'",
		apikey.OutOfScope:       "to set all its scopes, run 'fob key update " + id + " --scope SCOPE'",
		apikey.IsExpired:        "to extend it, run 'fob key update " + id + " --expires 90d'; for a new key, 'fob key create'",
		apikey.IsRevoked:        "a revoked key stays revoked: for a new key, run 'fob key create'",
	}[reason]
}

// deliveryHint says what to do about a platform that did not take a value.
func deliveryHint(err error) string {
	if setup, ok := errors.AsType[*destination.SetupError](err); ok {
		return setup.Hint
	}
	answer, answered := errors.AsType[*destination.AnswerError](err)
	switch {
	case errors.Is(err, destination.ErrNoCredential):
		return "log in there and give --as PROFILE, or set the variable; 'as' under [destination] in the configuration does it for good"
	case errors.Is(err, destination.ErrValue):
		return "nothing was delivered anywhere; choose another destination, or a value that it takes"
	case errors.As(err, new(*destination.CommandError)):
		return "run the command by hand: it is under [commands] in config.toml, and reads the value from stdin"
	case answered:
		return answerHint(answer)
	case errors.Is(err, destination.ErrNotDelivered) && (errors.Is(err, httpclient.ErrMalformed) || errors.Is(err, httpclient.ErrRedirect)):
		return "see the platform's address: something else answers there, such as a login or a proxy in between"
	}
	return ""
}

func answerHint(answer *destination.AnswerError) string {
	limited := answer.Status == http.StatusForbidden || answer.Status == http.StatusTooManyRequests
	switch {
	case limited && answer.RetryAfter > 0:
		return "the platform is rate limiting: try again in " + cli.Roughly(answer.RetryAfter)
	case answer.Status == http.StatusUnauthorized:
		return "the platform does not know the credential: give another with --as, or log in again"
	case answer.Status == http.StatusForbidden:
		return "the credential may not write there: ask for the permission or the scope that it lacks"
	case answer.Status == http.StatusNotFound:
		return "see the destination's name; many platforms answer so, too, where the credential may not look"
	case answer.Status == http.StatusConflict || answer.Status == http.StatusPreconditionFailed:
		return "another process writes there: try again"
	case answer.Status == http.StatusTooManyRequests:
		return "the platform is rate limiting: try again later"
	case answer.Status >= http.StatusInternalServerError:
		return "the platform is not well: try again later"
	}
	return "fix what the platform names, or choose another destination; nothing was changed there"
}

func secretHint(err error) string {
	if errors.As(err, new(*secretstore.OutputError)) {
		return "the command must print the new value, and nothing else"
	}
	failed, ok := errors.AsType[*secretstore.Error](err)
	if !ok {
		return ""
	}
	name := failed.Name
	hint := cli.HintFor(err, []cli.ErrorHint{
		cli.HintOn(secretstore.ErrNoValue, "run 'fob secret set "+name+"'"),
		cli.HintOn(secretstore.ErrOpen, "to continue it, run 'fob secret rotate "+name+" --resume'; to keep the value that 'get' prints, 'fob secret rotate "+name+" --abandon'"),
		cli.HintOn(secretstore.ErrNotOpen, "to start one, run 'fob secret rotate "+name+"'"),
		cli.HintOn(config.ErrShared, "choose another name, as in 'fob secret set "+name+"-2'"),
		cli.HintOn(secretstore.ErrUnanswered, "check at the issuer whether there is a new value, then run 'fob secret set "+name+"'; or ask again with 'fob secret rotate "+name+"'"),
		cli.HintOn(secretstore.ErrSame, "get a new value from its issuer first"),
		cli.HintOn(secretstore.ErrValue, "use the secret itself, at most 64 KiB; convert Windows line endings with tr -d '\\r'"),
		cli.HintOn(session.ErrMoved, "try again: nothing is lost"),
	})
	if hint == "" && isForeign(err) {
		return sealedHint(err) + "; to start over, run 'fob secret remove " + name + "'"
	}
	return cmp.Or(hint, sealedHint(err))
}

func pepperHint(err error) string {
	if !errors.As(err, new(*records.PeppersError)) {
		return ""
	}
	return cmp.Or(sealedHint(err), "nothing is lost; run 'fob doctor' to find what is wrong with the storage")
}

func isForeign(err error) bool {
	return errors.Is(err, seal.ErrTampered) || errors.Is(err, seal.ErrWrongContext) || errors.Is(err, credstore.ErrCorrupt)
}

// sealedHint says how to read a record that no new login can replace.
func sealedHint(err error) string {
	if isForeign(err) {
		return "find out what changed it; if there is a backup, run 'fob storage restore'"
	}
	return cli.HintFor(err, []cli.ErrorHint{
		cli.HintOn(seal.ErrWrongKey, "use the key or passphrase that it was saved with: FOB_SEAL_KEY, or key_file in config.toml"),
		cli.HintOn(credstore.ErrNoKey, "use the key or passphrase that it was saved with: FOB_SEAL_KEY, or key_file in config.toml"),
		cli.HintOn(credstore.ErrAbsent, "use encrypted files: 'storage = \"file\"' in config.toml, or FOB_STORAGE=file; run 'fob doctor' to see what is missing"),
		cli.HintOn(credstore.ErrLocked, "unlock the keyring, then try again"),
		cli.HintOn(credstore.ErrTimeout, "unlock the keyring, then try again"),
	})
}
