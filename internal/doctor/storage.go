package doctor

import (
	"errors"

	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/sanitize"
)

// Bus judges whether there is a way to the keyring (credstore.KeyringReachable),
// and shows the D-Bus address that was found.
func Bus(unreachable error, address string) Finding {
	const check = "D-Bus"
	if unreachable != nil {
		return Failed(check, unreachable, "log in to a desktop, or keep logins in an encrypted file: 'fob login PROFILE --storage file'")
	}
	return Fine(check, "%s", sanitize.Line(address))
}

// Lock tells from the round trip whether the keyring is locked. Where it did not
// get that far, the round trip's own finding says why.
func Lock(roundTrip error) Finding {
	const check = "keyring lock"
	switch {
	case errors.Is(roundTrip, credstore.ErrLocked):
		return Failed(check, roundTrip, "unlock it, for instance by logging in to the desktop; over SSH and in cron nobody can: 'fob login PROFILE --storage file'")
	case errors.Is(roundTrip, credstore.ErrAbsent):
		return Skipped(check, "there is no keyring to be locked")
	case roundTrip != nil:
		return Skipped(check, "the keyring did not say")
	}
	return Fine(check, "unlocked")
}

// RoundTrip judges a record of size bytes that was written, read back and deleted.
func RoundTrip(check string, size int, err error, fix string) Finding {
	if err != nil {
		return Failed(check, err, fix)
	}
	return Fine(check, "a record of %d bytes was written, read back and deleted", size)
}

// SealKey judges the key of a storage. A fresh storage has none yet.
func SealKey(check, source string, fresh bool, err error, fix string) Finding {
	switch {
	case err != nil && fresh:
		return Fine(check, "%s: made at the first login", source)
	case err != nil:
		return Failed(check, err, fix)
	}
	return Fine(check, "%s", source)
}
