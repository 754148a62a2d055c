package credstore

import (
	"errors"

	"golang.org/x/sys/windows"
)

func (osKeyring) reachable() error { return nil }

// isAbsent tells a logon without a set of credentials: one over the network, such
// as ssh with a key, or one for which a policy forbids to store any.
func isAbsent(err error) bool { return errors.Is(err, windows.ERROR_NO_SUCH_LOGON_SESSION) }

// state: the Credential Manager is as open as the user's logon.
func (osKeyring) state() keyringState { return stateUnknown }

// asking: the Credential Manager never asks anybody.
func (osKeyring) asking() bool { return false }

func (k osKeyring) session() (keyringSession, error) { return k, nil }
