//go:build !linux && !windows

package credstore

func isAbsent(error) bool { return false }

// asking is always true: macOS may ask for a password or permission, which is not
// visible here.
func (osKeyring) asking() bool { return true }
