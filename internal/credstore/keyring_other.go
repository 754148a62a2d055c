//go:build !linux && !windows

package credstore

func (osKeyring) reachable() error { return nil }

func isAbsent(error) bool { return false }

// state is unknown on this system.
func (osKeyring) state() keyringState { return stateUnknown }

// asking is always true: macOS may ask for a password or permission, which is not
// visible here.
func (osKeyring) asking() bool { return true }
