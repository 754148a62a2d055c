package cmd

import (
	"errors"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/apikey/registry"
	"github.com/fobcli/fob/internal/cli"
)

// hintOfKey is hintOf for the errors of keys and their registry.
func hintOfKey(err error) string {
	hint := cli.HintFor(err, []cli.ErrorHint{
		cli.HintOn(apikey.ErrNotFound, "'fob key list' shows the keys that there are"),
		cli.HintOn(apikey.ErrNoRegistry, "the first key makes it: 'fob key create', or 'fob key import'; see FOB_REGISTRY if it is elsewhere"),
		cli.HintOn(apikey.ErrNewerSchema, "install the newest fob on this machine too"),
		cli.HintOn(apikey.ErrFull, "make room; what was there is intact"),
		cli.HintOn(apikey.ErrDamaged, "bring the last backup back: 'fob key import' takes what 'fob key export' has written"),
		cli.HintOn(apikey.ErrUnusable, "see to FOB_REGISTRY, and to the permissions of what it names"),
		cli.HintOn(apikey.ErrBusy, "other programs hold the registry: try again"),
		cli.HintOn(apikey.ErrUnavailable, "see whether the database runs and can be reached, then try again; a change that was begun is whole or not there"),
		cli.HintOn(keys.ErrNoPepper, "give the registry one: 'fob key pepper add p1', then 'fob key pepper use p1'; imported hashes name it in the 'pepper' column"),
		cli.HintOn(keys.ErrRotated, "rotate the successor; to end the old key before its time: 'fob key revoke ID'"),
		cli.HintOn(keys.ErrRotating, "wait for it; if it was killed, run this again then"),
		cli.HintOn(keys.ErrTakenOver, "use the key that the other fob printed"),
		cli.HintOn(keys.ErrStillUsed, "'fob key show ID' says when it was used last; once nobody does, 'fob key rotate --resume ID --force' ends it"),
		cli.HintOn(keys.ErrNotDelivered, "the old key is as it was, unless it was --compromised; run it again"),
		cli.HintOn(keys.ErrNotRotatable, "make a new one: 'fob key create'"),
		cli.HintOn(keys.ErrRevoked, "make a new one: 'fob key create'"),
		cli.HintOn(registry.ErrInsecure, "leave sslmode out or make it verify-full, and name the server's CA with sslrootcert=FILE"),
	})
	if hint != "" {
		return hint
	}
	if errors.As(err, new(*apikey.TamperedError)) {
		return "see who can write the registry's database; an earlier 'fob key export' shows what a record was, and a key in doubt is best revoked"
	}
	var refused *apikey.RefusedError
	if errors.As(err, &refused) {
		return hintOfRefusal(refused.Reason)
	}
	return ""
}

// hintOfRefusal says what to look at where a key is refused.
func hintOfRefusal(reason apikey.Reason) string {
	switch reason {
	case apikey.Malformed:
		return "give the key alone on stdin, in ASCII: no second line, no 'Bearer', no quotes"
	case apikey.Mistyped:
		return "the checksum does not match: copy the whole key again"
	case apikey.Unknown:
		return "copy the whole key again, and see whether FOB_REGISTRY names the registry that has it"
	case apikey.OtherEnvironment:
		return "see --env, and which of the keys it is: its environment is its second word"
	case apikey.IsDisabled:
		return "'fob key update ID --disabled=false' accepts it again"
	case apikey.OutOfScope:
		return "'fob key update ID --scope SCOPE' sets all the scopes that it has"
	case apikey.IsExpired:
		return "'fob key update ID --expires 90d' lets it last longer; 'fob key create' makes a new one"
	case apikey.IsRevoked:
		return "nothing brings it back: 'fob key create' makes a new one"
	}
	return ""
}
