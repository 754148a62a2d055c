package credstore

import (
	"errors"

	"golang.org/x/sys/windows"
)

// isAbsent reports whether the logon session cannot store credentials, as over the network
// (ssh with a key) or by policy.
func isAbsent(err error) bool { return errors.Is(err, windows.ERROR_NO_SUCH_LOGON_SESSION) }

// asking is always false: the Credential Manager never prompts.
func (osKeyring) asking() bool { return false }
