package doctor

import (
	"errors"

	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/sanitize"
)

// DBus reports whether the keyring can be reached (credstore.KeyringReachable), with the
// D-Bus address. A login with profile is an example.
func DBus(unreachable error, address, profile string) Finding {
	const check = "D-Bus"
	if unreachable != nil {
		return Failed(check, unreachable, "log in to a desktop, or store logins in an encrypted file: 'fob login "+profile+" --storage file'")
	}
	return Fine(check, "%s", sanitize.Line(address))
}

// KeyringLock reports from a round trip whether the keyring is locked. If the round trip
// failed before that, its own finding explains why.
func KeyringLock(roundTrip error, profile string) Finding {
	const check = "keyring lock"
	switch {
	case errors.Is(roundTrip, credstore.ErrLocked):
		return Failed(check, roundTrip, "unlock it, for instance by logging in to the desktop; over SSH and in cron use a file: 'fob login "+profile+" --storage file'")
	case errors.Is(roundTrip, credstore.ErrAbsent):
		return Skipped(check, "there is no keyring")
	case roundTrip != nil:
		return Skipped(check, "the keyring did not answer")
	}
	return Fine(check, "unlocked")
}

// RoundTrip reports on a record of size bytes that was written, read back and deleted.
func RoundTrip(check string, size int, err error, fix string) Finding {
	if err != nil {
		return Failed(check, err, fix)
	}
	return Fine(check, "a record of %d bytes was written, read back and deleted", size)
}

// SealKey reports on the key of a storage. A fresh storage has none yet.
func SealKey(check, source string, fresh bool, err error, fix string) Finding {
	switch {
	case err != nil && fresh:
		return Fine(check, "%s: created at the first login", source)
	case err != nil:
		return Failed(check, err, fix)
	}
	return Fine(check, "%s", source)
}
