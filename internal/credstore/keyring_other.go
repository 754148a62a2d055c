//go:build !linux && !windows

package credstore

func (osKeyring) reachable() error { return nil }

func (k osKeyring) session() (keyringSession, error) { return k, nil }

func isAbsent(error) bool { return false }

// state cannot be asked here.
func (osKeyring) state() keyringState { return stateUnknown }

// asking: macOS may ask for a password or for leave, and does not tell.
func (osKeyring) asking() bool { return true }
