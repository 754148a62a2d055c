// Package hint is what to do next about an error.
package hint

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
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

// Of returns what to do next: the hint that an error carries, else the general one for
// its kind, with the name of the profile that it is about.
func Of(err error) string {
	if hint := cmp.Or(cli.CarriedHint(err), lostKeyHint(err), pepperHint(err), secretHint(err)); hint != "" {
		return hint
	}
	var s subject
	if failed, ok := errors.AsType[*cli.ProfileError](err); ok {
		if s = (subject{failed.Profile, failed.InLogin}); s.inLogin {
			err = failed // the cause, not a failed attempt to undo the login
		}
	}
	fix := atomicfile.Fix(err)
	return cmp.Or(deliveryHint(err), keyHint(err), cli.TextIf(fix != "", "make it private: '"+fix+"'"), loginHint(err, s), typedHint(err, s))
}

// subject is the profile that a hint is about; without a name, commands use the default.
type subject struct {
	profile string
	inLogin bool // the login failed: the hint repeats that command, which may have had other flags
}

func (s subject) login(flags string) string {
	switch {
	case s.inLogin && flags == "":
		return "the same command"
	case s.inLogin:
		return "the same command with '" + flags + "'"
	}
	return s.call("login", flags)
}

func (s subject) setting(flags string) string { return s.call("profile set", flags) }

// restore advises deleting a record that cannot be opened only if there is no backup.
func (s subject) restore() string {
	return "restore a backup with 'fob storage restore fob.age --force'; only without one, delete the login with " + s.call("logout", "--local") + " and run " + s.login("")
}

func (s subject) call(command, flags string) string {
	return "'" + strings.Join(strings.Fields("fob "+command+" "+s.profile+" "+flags), " ") + "'"
}

// typed is the hint for an error of one type; "" for any other error.
func typed[E error](err error, hint func(E) string) string {
	if e, ok := errors.AsType[E](err); ok {
		return hint(e)
	}
	return ""
}

func keyID(err error) string {
	return cmp.Or(typed(err, func(e *keys.KeyError) string { return e.ID }), "ID")
}

func keyHint(err error) string {
	id := keyID(err)
	return cli.HintFor(err, []cli.ErrorHint{
		cli.HintOn(apikey.ErrNotFound, "run 'fob key list' to see the keys in the registry"),
		cli.HintOn(apikey.ErrNoRegistry, "create the first key with 'fob key create --owner shop', or set FOB_REGISTRY if the registry is elsewhere"),
		cli.HintOn(apikey.ErrNewerSchema, "update fob on this machine"),
		cli.HintOn(apikey.ErrFull, "free some disk space; the registry is unchanged"),
		cli.HintOn(apikey.ErrDamaged, "restore a backup of the registry; without one, save what 'fob key export >rescued.jsonl' can read, move the damaged file away, and import that or the last export: 'fob key import <rescued.jsonl'"),
		cli.HintOn(apikey.ErrUnusable, "check FOB_REGISTRY, and the permissions of what it names"),
		cli.HintOn(apikey.ErrBusy, "try again: other programs are using the registry"),
		cli.HintOn(apikey.ErrUnavailable, "check that the database is running and reachable, then try again; no change was partly saved"),
		cli.HintOn(keys.ErrNoPepper, "run 'fob key pepper add p1', then 'fob key pepper use p1'; a list to import names it in the 'pepper' column"),
		cli.HintOn(keys.ErrRotated, "rotate its replacement; to revoke the old key now, run 'fob key revoke "+id+"'"),
		cli.HintOn(keys.ErrRotating, "wait until it is done; 'fob key rotate "+id+" --force' takes over at once"),
		cli.HintOn(keys.ErrTakenOver, "run 'fob key show "+id+"' to see the replacement that the other fob made"),
		cli.HintOn(keys.ErrStillUsed, "run 'fob key show "+id+"' to see when it was last used; 'fob key rotate --resume "+id+" --force' revokes it"),
		cli.HintOn(keys.ErrNotDelivered, "run the same command again; the old key is unchanged, except with --compromised"),
		cli.HintOn(keys.ErrNotRotatable, "create a new key with 'fob key create --owner OWNER'"),
		cli.HintOn(keys.ErrRevoked, "create a new key with 'fob key create --owner OWNER'"),
		cli.HintOn(apikey.ErrInsecure, "remove sslmode or set it to verify-full; for a private CA, add sslrootcert with the file of its certificate"),
	})
}

func loginHint(err error, s subject) string {
	server := cmp.Or(typed(err, func(e *app.IdentityError) string { return e.Server }), "https://sso.example.com")
	return cli.HintFor(err, []cli.ErrorHint{
		cli.HintOn(credstore.ErrAbsent, "run "+s.login("--storage file")+" to use an encrypted file; in a script, also set FOB_PASSPHRASE_FILE. 'fob doctor' shows what the keyring lacks"),
		cli.HintOn(credstore.ErrLocked, "unlock the keyring, then try again; without a desktop, run "+s.login("--storage file")),
		cli.HintOn(credstore.ErrTimeout, "unlock the keyring if it waits for that, then try again"),
		cli.HintOn(syscall.ENOSPC, "free space on that disk, then try again; what was stored before is unchanged"),
		cli.HintOn(credstore.ErrNotWritten, "allow the write if the keyring asks, or check free space and permissions, then try again; the previous login is unchanged"),
		cli.HintOn(credstore.ErrRefused, "fix what the keyring reports, then try again; or run "+s.login("--storage file")),
		cli.HintOn(credstore.ErrTooLarge, "ask the server for smaller tokens: no storage accepts a login of more than 132 KiB"),
		cli.HintOn(credstore.ErrNoKey, "set FOB_SEAL_KEY, or key_file in config.toml, to the key that the records were saved with; they are unchanged"),
		cli.HintOn(seal.ErrWrongKey, "try again with the key or passphrase that the login was saved with; if it is lost, "+s.restore()),
		cli.HintOn(seal.ErrWrongContext, "change the issuer and the client of the profile back, or run "+s.login("")+" to log in with the new ones"),
		cli.HintOn(seal.ErrTampered, "find out what changed the stored login, then "+s.restore()),
		cli.HintOn(seal.ErrFormat, s.restore()),
		cli.HintOn(credstore.ErrCorrupt, s.restore()),
		cli.HintOn(atomicfile.ErrUnsafe, "set its owner and mode so that no other user can read or change it (files 0600, folders 0700)"),
		cli.HintOn(credstore.ErrSameKey, "use --key-file with a file that does not exist, and fob creates a new key; for another source of the same key, set key_file in config.toml, or FOB_SEAL_KEY"),
		cli.HintOn(credstore.ErrUnusable, "check the permissions and the disk of fob's data folder, then try again"),
		cli.HintOn(session.ErrLoginRequired, "run "+s.login("")),
		cli.HintOn(ci.ErrUnknownPlace, "run it in a job of GitHub Actions or GitLab CI, or name the identity's source: "+s.setting("--identity env:CI_TOKEN")),
		cli.HintOn(ci.ErrNotPermitted, "add 'permissions: {id-token: write, contents: read}' to the job, which a pull request from a fork never gets; within 'fob exec', add --keep-identity to it"),
		cli.HintOn(ci.ErrAbsent, "add 'id_tokens: {FOB_ID_TOKEN: {aud: "+server+"}}' to the GitLab job; within 'fob exec', add --keep-identity to it"),
		cli.HintOn(ci.ErrMalformed, "check what the profile's identity names: it must contain one token, and nothing else"),
		cli.HintOn(ci.ErrAudience, "request it for the profile's server, in GitLab with 'id_tokens: {FOB_ID_TOKEN: {aud: "+server+"}}'; or set the profile's identity_audience to what the server expects"),
		cli.HintOn(ci.ErrCommand, "run the identity_command of config.toml by hand: it must print one token on stdout"),
		cli.HintOn(jwt.ErrKey, "check the profile's private_key_file: it must contain one private key, in PEM or as a JWK"),
		cli.HintOn(oauth.ErrNoClientKey, "name its file with "+s.setting("--private-key-file key.pem")+", or run "+s.login("--private-key-stdin")),
		cli.HintOn(loopback.ErrPortInUse, "stop the program that uses the port, or choose another port with --redirect-uri"),
		cli.HintOn(loopback.ErrOpenedTwice, "run "+s.login("--no-browser")+" and open the URL yourself: another user may have opened the page first"),
		cli.HintOn(session.ErrUnbound, "use bearer tokens: "+s.setting("--dpop=false")+"; or store a login on this machine: "+s.login("")),
		cli.HintOn(session.ErrMoved, "try again: nothing is lost"),
		cli.HintOn(session.ErrReplaced, "try again: nothing is lost"),
		cli.HintOn(filelock.ErrUnwritable, "make fob's folders writable, or set FOB_HOME to a folder that is; a machine that stores nothing sets FOB_STORAGE=none and "+app.Variable("FOB_REFRESH_TOKEN_", cmp.Or(s.profile, "work"))),
		cli.HintOn(syscall.EROFS, "make fob's folders writable, or set FOB_HOME to a folder that is; what was stored before is unchanged"),
		cli.HintOn(filelock.ErrTimeout, "wait for the other fob that uses this login, or find it with 'ps -ef', then try again"),
		cli.HintOn(oauth.ErrRefused, "check the client ID, the redirect URI (some servers compare the port too: --redirect-uri) and the client authentication (--token-endpoint-auth-method; with a key also --client-assertion-audience)"),
		cli.HintOn(oauth.ErrUnavailable, "check the network, proxy and CA settings (--ca-file), then try again"),
	})
}

// typedHint returns the hint where it depends on what the error contains.
func typedHint(err error, s subject) string {
	return cmp.Or(
		typed(err, func(e *apikey.RefusedError) string { return refusedKeyHint(e.Reason, keyID(err)) }),
		typed(err, func(e *config.TrustError) string { return e.Hint }),
		typed(err, othersHint),
		typed(err, func(e *credstore.KeyError) string {
			return cli.TextIf(e.Reason == "", "use the key that the storage was created with; for a new storage, create one with 'openssl rand -base64 32'")
		}),
		typed(err, func(e *idtoken.AudienceError) string {
			return "trust that audience (trusted_audiences in config.toml) only if it may see who you are: " + s.login("--trusted-audience "+sanitize.ShellQuote(e.Audience))
		}),
		typed(err, func(e *discovery.OtherIssuerError) string { return otherIssuerHint(e, s) }),
		typed(err, selectHint),
		cli.TextIf(errors.As(err, new(*apikey.TamperedError)), "find out who can write to the registry's database, and revoke the keys in doubt; an earlier 'fob key export' shows what a record was"),
		cli.TextIf(errors.Is(err, sanitize.ErrUTF16), "save it as UTF-8; in PowerShell, with 'Out-File -Encoding utf8'"),
		cli.TextIf(errors.As(err, new(*config.StorageError)), "choose keyring or file, or none to store nothing"),
		cli.TextIf(errors.Is(err, fs.ErrNotExist), "check the path: a file to read must exist, and so must the folder of a file to write"),
		cli.TextIf(errors.As(err, new(*config.ParseError)), "fix it with an editor; nothing was changed"),
		cli.TextIf(errors.Is(err, httpclient.ErrRedirect) && s.inLogin, "check the server's URLs: fob sends no secret to another address"),
		cli.TextIf(errors.Is(err, httpclient.ErrRedirect), "run "+s.login("")+" to learn the server's new address: fob sends no secret to another one"),
		typed(err, func(e *oauth.Error) string {
			return cli.TextIf(s.inLogin && strings.Contains(e.Description, "redirect"), "register the redirect URI with the client, or name the registered one: "+s.login("--redirect-uri http://127.0.0.1:8765/callback"))
		}),
		cli.TextIf(oauth.RefusesClient(err), "check the client ID and the client authentication (--token-endpoint-auth-method; with a key also --client-assertion-audience)"),
		cli.TextIf(oauth.HasCode(err, "invalid_scope") && s.inLogin, "request scopes that the server knows with --scope"),
		cli.TextIf(oauth.HasCode(err, "invalid_scope"), "run "+s.call("status", "")+" to see the scopes that were granted; to request others, log in again with --scope"),
		cli.TextIf(errors.As(err, new(*oauth.AuthorizationError)), "approve the request in the browser; if the server refused it, ask its operator whether this client may have these scopes"),
		cli.TextIf(oauth.HasCode(err, "invalid_target"), "name an API that this login was granted; to use another one, log in again with --resource"),
		cli.TextIf(oauth.HasCode(err, "invalid_dpop_proof"), "run "+s.login("--dpop")+": the server binds tokens to keys"),
	)
}

func otherIssuerHint(other *discovery.OtherIssuerError, s subject) string {
	return cmp.Or(
		cli.TextIf(other.Named == strings.TrimSuffix(other.Asked, "/"), "write the issuer without the slash at its end: "),
		cli.TextIf(other.Named == other.Asked+"/", "write the issuer with a slash at its end: "),
		"check that this is the server you mean, then run ",
	) + s.login("--issuer "+sanitize.ShellQuote(other.Named))
}

func selectHint(selection *config.SelectError) string {
	near := cli.Nearest(selection.Choice.Name, selection.Names)
	if selection.Choice.By == config.ByDefault && selection.Choice.Name != "" && len(selection.Names) > 0 {
		return "choose another default: 'fob profile set " + cmp.Or(near, selection.Names[0]) + " --default'"
	}
	if near != "" {
		return fmt.Sprintf("did you mean '%s'?", near)
	}
	if selection.Choice.Name != "" || len(selection.Names) == 0 {
		return "run 'fob status' to list the profiles"
	}
	return "name one, or make one the default: 'fob profile set " + selection.Names[0] + " --default'"
}

func othersHint(others *atomicfile.OthersError) string {
	path := sanitize.ShellQuote(others.Path)
	switch {
	case others.Mode&fs.ModeSymlink != 0:
		return "use the file that it leads to, which its owner can change at any time, or remove it: rm " + path
	case others.Foreign:
		return fmt.Sprintf("check what it contains; if you trust it, make it yours: sudo chown %d %s", os.Geteuid(), path)
	}
	return "check what it contains, then run 'chmod go-w " + path + "'"
}

func refusedKeyHint(reason apikey.Reason, id string) string {
	return map[apikey.Reason]string{
		apikey.Malformed:        "put only the key on stdin, in ASCII: no second line, no 'Bearer', no quotes",
		apikey.Mistyped:         "copy the whole key again: its checksum does not match",
		apikey.Unknown:          "copy the whole key again, and check that FOB_REGISTRY names the registry that has it",
		apikey.OtherEnvironment: "check --env, and that it is the right key: its second part is its environment",
		apikey.IsDisabled:       "run 'fob key update " + id + " --disabled=false' to accept it again",
		apikey.OutOfScope:       "run 'fob key show " + id + "' to see its scopes; 'fob key update' with --scope replaces all of them",
		apikey.IsExpired:        "run 'fob key update " + id + " --expires 90d' to extend it, or create a new key with 'fob key create --owner OWNER'",
		apikey.IsRevoked:        "create a new key with 'fob key create --owner OWNER': a revoked key stays revoked",
	}[reason]
}

// deliveryHint returns what to do about a platform that refused a value.
func deliveryHint(err error) string {
	return cmp.Or(
		typed(err, func(e *destination.SetupError) string { return e.Hint }),
		cli.TextIf(errors.Is(err, destination.ErrNoCredential), "set the variable, or log in to the platform and add --as with that profile; to make it permanent, set 'as' under [destination] in config.toml"),
		cli.TextIf(errors.Is(err, destination.ErrValue), "choose another destination, or a value that it accepts; nothing was delivered"),
		cli.TextIf(errors.As(err, new(*destination.CommandError)), "fix the command: it is under [commands] in config.toml, and reads the value from stdin"),
		typed(err, answerHint),
		cli.TextIf(errors.Is(err, destination.ErrNotDelivered) && (errors.Is(err, httpclient.ErrMalformed) || errors.Is(err, httpclient.ErrRedirect)), "check the platform's address: something else responds at it, such as a login page or a proxy"),
	)
}

func answerHint(answer *destination.AnswerError) string {
	limited := answer.Status == http.StatusForbidden || answer.Status == http.StatusTooManyRequests
	return cmp.Or(
		cli.TextIf(limited && answer.RetryAfter > 0, "try again in "+cli.Roughly(answer.RetryAfter)+": the platform is rate limiting"),
		cli.TextIf(answer.Status == http.StatusUnauthorized, "log in to the platform again, or use another credential with --as: it rejected this one"),
		cli.TextIf(answer.Status == http.StatusForbidden, "ask for the permission or the scope that the credential lacks: it may not write there"),
		cli.TextIf(answer.Status == http.StatusNotFound, "check the destination's name; many platforms also respond like this if the credential may not read it"),
		cli.TextIf(answer.Status == http.StatusConflict || answer.Status == http.StatusPreconditionFailed, "try again: another process is writing there"),
		cli.TextIf(answer.Status == http.StatusTooManyRequests, "try again later: the platform is rate limiting"),
		cli.TextIf(answer.Status >= http.StatusInternalServerError, "try again later: the platform failed"),
		"fix what the platform reports, or choose another destination; nothing was changed there",
	)
}

func secretHint(err error) string {
	if errors.As(err, new(*secretstore.OutputError)) {
		return "fix the command: it must print the new value, and nothing else"
	}
	failed, ok := errors.AsType[*secretstore.Error](err)
	if !ok {
		return ""
	}
	name := failed.Name
	hint := cli.HintFor(err, []cli.ErrorHint{
		cli.HintOn(secretstore.ErrNoValue, "run 'fob secret set "+name+"'"),
		cli.HintOn(secretstore.ErrOpen, "run 'fob secret rotate "+name+" --resume' to continue it, or 'fob secret rotate "+name+" --abandon' to keep the value that 'get' prints"),
		cli.HintOn(secretstore.ErrNotOpen, "run 'fob secret rotate "+name+"' to start one"),
		cli.HintOn(config.ErrShared, "choose another name, as in 'fob secret set "+name+"-2'"),
		cli.HintOn(secretstore.ErrUnanswered, "check at the issuer whether there is a new value, then run 'fob secret set "+name+"'; or ask again with 'fob secret rotate "+name+"'"),
		cli.HintOn(secretstore.ErrSame, "get a new value from its issuer first"),
		cli.HintOn(secretstore.ErrValue, "use the secret itself, at most 64 KiB; convert Windows line endings with tr -d '\\r'"),
		cli.HintOn(session.ErrMoved, "try again: nothing is lost"),
	})
	if hint == "" && isForeign(err) {
		return sealedHint(err) + "; only without one, delete it with 'fob secret remove " + name + "'"
	}
	return cmp.Or(hint, sealedHint(err))
}

func pepperHint(err error) string {
	if !errors.As(err, new(*records.PeppersError)) {
		return ""
	}
	return cmp.Or(sealedHint(err), "run 'fob doctor' to find what is wrong with the storage; nothing is lost")
}

func lostKeyHint(err error) string {
	const restore = "restore a backup with 'fob storage restore fob.age --force'; only without one, delete what is lost with 'fob logout --all --local' and 'fob secret remove'"
	return cmp.Or(
		typed(err, func(*credstore.OtherKeyError) string {
			return "use the key or passphrase that it was saved with; if it is lost, " + restore
		}),
		cli.HintFor(err, []cli.ErrorHint{
			cli.HintOn(credstore.ErrKeyMissing, "restore the key from a backup of that file; if there is none, "+restore),
			cli.HintOn(credstore.ErrKeyDamaged, "restore the key from a backup of that file; if there is none, move it away and "+restore),
		}),
	)
}

func isForeign(err error) bool {
	return errors.Is(err, seal.ErrTampered) || errors.Is(err, seal.ErrWrongContext) || errors.Is(err, credstore.ErrCorrupt)
}

// sealedHint returns how to read a record that no new login can replace.
func sealedHint(err error) string {
	if isForeign(err) {
		return "find out what changed it, then restore a backup with 'fob storage restore fob.age --force'"
	}
	return cli.HintFor(err, []cli.ErrorHint{
		cli.HintOn(seal.ErrWrongKey, "use the key or passphrase that it was saved with: FOB_SEAL_KEY, or key_file in config.toml; for the keyring, restore the key in fob's data folder"),
		cli.HintOn(credstore.ErrNoKey, "use the key or passphrase that it was saved with: FOB_SEAL_KEY, or key_file in config.toml"),
		cli.HintOn(credstore.ErrAbsent, "set FOB_STORAGE=file, or 'storage = \"file\"' in config.toml, to use encrypted files; 'fob doctor' shows what the keyring lacks"),
		cli.HintOn(credstore.ErrLocked, "unlock the keyring, then try again"),
		cli.HintOn(credstore.ErrTimeout, "unlock the keyring, then try again"),
	})
}
