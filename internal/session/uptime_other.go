//go:build !linux && !darwin

package session

// systemUptime is unknown here: Clock then depends on the time only.
func systemUptime() Uptime { return Uptime{} }
