package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/apikey/registry"
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
	"github.com/fobcli/fob/internal/jwt"
	"github.com/fobcli/fob/internal/loopback"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/session"
)

// exitOf is the one table from errors to exit statuses. The first match counts.
func exitOf(err error) int {
	var own *cli.StatusError
	if errors.As(err, &own) {
		return own.Status
	}
	for _, row := range []struct {
		target error
		status int
	}{
		{context.Canceled, cli.ExitInterrupted},
		{keys.ErrNotDelivered, cli.ExitFailed}, // whatever kept it from there
		{destination.ErrNotDelivered, cli.ExitFailed},
		{session.ErrLoginRequired, cli.ExitLoginRequired},
		{filelock.ErrTimeout, cli.ExitLockTimeout},
		{credstore.ErrNotFound, cli.ExitStorage},
		{credstore.ErrAbsent, cli.ExitStorage},
		{credstore.ErrLocked, cli.ExitStorage},
		{credstore.ErrTimeout, cli.ExitStorage},
		{credstore.ErrRefused, cli.ExitStorage},
		{credstore.ErrUnusable, cli.ExitStorage},
		{credstore.ErrCorrupt, cli.ExitStorage},
		{credstore.ErrNotWritten, cli.ExitStorage},
		{credstore.ErrTooLarge, cli.ExitStorage},
		{credstore.ErrNoKey, cli.ExitStorage},
		{seal.ErrFormat, cli.ExitStorage},
		{seal.ErrWrongKey, cli.ExitStorage},
		{seal.ErrWrongContext, cli.ExitStorage},
		{seal.ErrTampered, cli.ExitStorage},
		{atomicfile.ErrUnsafe, cli.ExitStorage},
		{registry.ErrInsecure, cli.ExitUsage},
		{config.ErrShared, cli.ExitUsage},
		{apikey.ErrNoRegistry, cli.ExitStorage},
		{apikey.ErrNewerSchema, cli.ExitStorage},
		{apikey.ErrFull, cli.ExitStorage},
		{apikey.ErrDamaged, cli.ExitStorage},
		{apikey.ErrUnusable, cli.ExitStorage},
		{apikey.ErrBusy, cli.ExitLockTimeout},
		{apikey.ErrUnavailable, cli.ExitUnavailable},
		{session.ErrUnbound, cli.ExitUsage},
		{oauth.ErrUnavailable, cli.ExitUnavailable},
		{ci.ErrUnavailable, cli.ExitUnavailable},
		{context.DeadlineExceeded, cli.ExitUnavailable},
	} {
		if errors.Is(err, row.target) {
			return row.status
		}
	}
	var refused *apikey.RefusedError
	var tampered *apikey.TamperedError
	var found *cli.FindingsError
	var told *app.AgentError
	switch {
	case errors.As(err, &told):
		return told.Status
	case app.IsUsage(err):
		return cli.ExitUsage
	case errors.As(err, &refused):
		return cli.ExitRefused
	case errors.As(err, &found), errors.As(err, &tampered):
		return cli.ExitFindings
	}
	return cli.ExitFailed
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
	hint := cli.HintFor(err, []cli.ErrorHint{
		cli.HintOn(credstore.ErrAbsent, "keep the login in an encrypted file: 'fob login "+profile+" --storage file'; 'fob doctor' says what is missing"),
		cli.HintOn(credstore.ErrLocked, "unlock the keyring, then try again; on a machine where nobody can: 'fob login "+profile+" --storage file'"),
		cli.HintOn(credstore.ErrTimeout, "the keyring did not answer: see whether it waits for you to unlock it, then try again"),
		cli.HintOn(credstore.ErrNotWritten, "the login before is intact. Allow the write if the keyring asks; in files, see to space and permissions"),
		cli.HintOn(credstore.ErrRefused, "see what the keyring complains of, then try again; or 'fob login "+profile+" --storage file'"),
		cli.HintOn(credstore.ErrTooLarge, "no storage takes a login of more than 132 KiB: ask the server for smaller tokens"),
		cli.HintOn(credstore.ErrNoKey, "give the key as when the login was saved: set FOB_SEAL_KEY, or key_file in config.toml. The login itself is whole"),
		cli.HintOn(seal.ErrWrongKey, "try again with the key or passphrase that the login was saved under; only if it is lost start over: 'fob logout "+profile+" --local', then 'fob login "+profile+"'"),
		cli.HintOn(seal.ErrWrongContext, "the profile's issuer or client ID was changed after the login: change it back, or run 'fob login "+profile+"'"),
		cli.HintOn(seal.ErrTampered, "the stored login was changed by something other than fob: find out what, then 'fob logout "+profile+" --local' and 'fob login "+profile+"'"),
		cli.HintOn(seal.ErrFormat, foreign),
		cli.HintOn(credstore.ErrCorrupt, foreign),
		cli.HintOn(atomicfile.ErrUnsafe, "another user or program could read or change it: set its owner and mode (files 0600, folders 0700), or remove it"),
		cli.HintOn(credstore.ErrUnusable, "see to the permissions and the disk of fob's data folder, then try again"),
		cli.HintOn(session.ErrLoginRequired, "run 'fob login "+profile+"'"),
		cli.HintOn(ci.ErrUnknownPlace, "say where it comes from: 'fob profile set "+profile+" --identity github', or gitlab, env:NAME, file:PATH, command"),
		cli.HintOn(ci.ErrNotPermitted, "in the workflow: 'permissions: {id-token: write, contents: read}'; below 'fob exec', give that --keep-identity"),
		cli.HintOn(ci.ErrAbsent, "let the job have one, in GitLab 'id_tokens: {FOB_ID_TOKEN: {aud: https://sso.example.com}}'; below 'fob exec', give that --keep-identity"),
		cli.HintOn(ci.ErrMalformed, "see what the profile's identity names: one token, and nothing else, must come from there"),
		cli.HintOn(ci.ErrAudience, "make it for the issuer, in GitLab 'id_tokens: {FOB_ID_TOKEN: {aud: ISSUER}}'; if the server expects another: 'fob profile set "+profile+" --identity-audience AUDIENCE'"),
		cli.HintOn(ci.ErrCommand, "set identity_command = [\"PROGRAM\", \"ARGUMENT\"] in config.toml, and try it by hand: it prints one token on stdout"),
		cli.HintOn(jwt.ErrKey, "see to the profile's private_key_file: one private key, in PEM or as a JWK"),
		cli.HintOn(oauth.ErrNoClientKey, "name its file: 'fob profile set "+profile+" --private-key-file FILE'; or 'fob login "+profile+" --private-key-stdin'"),
		cli.HintOn(loopback.ErrPortInUse, "end the program that holds it, or choose another port with --redirect-uri"),
		cli.HintOn(loopback.ErrOpenedTwice, "run 'fob login "+profile+" --no-browser' and open the URL yourself: another user may have opened the page first"),
		cli.HintOn(session.ErrUnbound, "take bearer tokens: 'fob profile set "+profile+" --dpop=false'; or keep a login on this machine: 'fob login "+profile+"'"),
		cli.HintOn(session.ErrMoved, "try again: nothing is lost"),
		cli.HintOn(session.ErrReplaced, "try again: nothing is lost"),
		cli.HintOn(filelock.ErrTimeout, "another fob is busy or stopped with this login: see 'ps', then try again"),
		cli.HintOn(httpclient.ErrRedirect, "the endpoint has moved; fob sends no secret to another address. Log in again to learn the new one"),
		cli.HintOn(discovery.ErrOtherIssuer, "if that is the server you mean, name it as it calls itself, to the last slash: --issuer URL"),
		cli.HintOn(oauth.ErrRefused, "see whether the server knows this client, this redirect URI (some compare the port too: --redirect-uri) and the way the client proves itself (--token-endpoint-auth-method; with a key also --client-assertion-audience)"),
		cli.HintOn(oauth.ErrUnavailable, "check the network, proxy and CA settings (--ca-file), then try again"),
	})
	return cmp.Or(hint, hintOfDetail(err, profile))
}

// hintOfDetail is hintOf where what to do depends on what stands in the error.
func hintOfDetail(err error, profile string) string {
	var parse *config.ParseError
	var selection *config.SelectError
	var refusal *oauth.Error
	var denial *oauth.AuthorizationError
	var others *atomicfile.OthersError
	var trust *config.TrustError
	var storage *config.StorageError
	switch {
	case errors.As(err, &trust):
		return trust.Hint
	case errors.As(err, &storage):
		return "choose 'keyring' or 'file', or 'none' where nothing is to be kept"
	case errors.As(err, &others) && others.Mode&fs.ModeSymlink != 0:
		return "its owner can point it at any file: use the file that it leads to, or remove it: rm " + sanitize.ShellQuote(others.Path)
	case errors.As(err, &others) && others.Foreign:
		return fmt.Sprintf("look at what it holds; if you trust it, make it yours: sudo chown %d %s", os.Geteuid(), sanitize.ShellQuote(others.Path))
	case errors.As(err, &others):
		return "look at what it holds, then run 'chmod go-w " + sanitize.ShellQuote(others.Path) + "'"
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
	case errors.As(err, &selection) && cli.Nearest(selection.Choice.Name, selection.Names) != "":
		return fmt.Sprintf("did you mean '%s'?", cli.Nearest(selection.Choice.Name, selection.Names))
	case errors.As(err, &selection):
		return "name one, or make one the default: 'fob profile set " + profile + " --default'"
	}
	return ""
}

// hintIn is the hint that an error carries, else the general one.
func hintIn(err error) string {
	if hint := cmp.Or(hintOfPeppers(err), cli.CarriedHint(err), hintOfSecret(err)); hint != "" {
		return hint
	}
	var named *cli.ProfileError
	if errors.As(err, &named) {
		return hintOf(err, named.Profile)
	}
	return hintOf(err, "")
}
