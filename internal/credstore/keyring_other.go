//go:build !linux

package credstore

func (osKeyring) reachable() error { return nil }

func isAbsent(error) bool { return false }

// locked is not asked here: macOS and Windows answer, or ask the user themselves.
func (osKeyring) locked() bool { return false }
