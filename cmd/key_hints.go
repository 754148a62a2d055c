package cmd

import (
	"errors"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/registrar"
	"github.com/fobcli/fob/internal/registry"
)

// hintOfKey is hintOf for the errors of keys and their registry.
func hintOfKey(err error) string {
	hint := hintFor(err, []errorHint{
		hintOn(apikey.ErrNotFound, "'fob key list' shows the keys that there are"),
		hintOn(apikey.ErrNoRegistry, "the first key makes it: 'fob key create', or 'fob key import'; see FOB_REGISTRY if it is elsewhere"),
		hintOn(apikey.ErrNewerSchema, "install the newest fob on this machine too"),
		hintOn(apikey.ErrFull, "make room; what was there is intact"),
		hintOn(apikey.ErrDamaged, "bring the last backup back: 'fob key import' takes what 'fob key export' has written"),
		hintOn(apikey.ErrUnusable, "see to FOB_REGISTRY, and to the permissions of what it names"),
		hintOn(apikey.ErrBusy, "other programs hold the registry: try again"),
		hintOn(apikey.ErrUnavailable, "see whether the database runs and can be reached, then try again; a change that was begun is whole or not there"),
		hintOn(registrar.ErrNoPepper, "give the registry one: 'fob key pepper add p1', then 'fob key pepper use p1'; imported hashes name it in the 'pepper' column"),
		hintOn(registrar.ErrRotated, "rotate the successor; to end the old key before its time: 'fob key revoke ID'"),
		hintOn(registrar.ErrRotating, "wait for it; if it was killed, run this again then"),
		hintOn(registrar.ErrTakenOver, "use the key that the other fob printed"),
		hintOn(registrar.ErrStillUsed, "'fob key show ID' says when it was used last; once nobody does, 'fob key rotate --resume ID --force' ends it"),
		hintOn(registrar.ErrNotDelivered, "the old key is as it was, unless it was --compromised; run it again"),
		hintOn(registrar.ErrNotRotatable, "make a new one: 'fob key create'"),
		hintOn(registrar.ErrRevoked, "make a new one: 'fob key create'"),
		hintOn(registry.ErrInsecure, "leave sslmode out or make it verify-full, and name the server's CA with sslrootcert=FILE"),
	})
	if hint != "" {
		return hint
	}
	if isTampered(err) {
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
