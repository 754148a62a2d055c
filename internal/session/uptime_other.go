//go:build !linux && !darwin

package session

// systemUptime is not asked for here: the time that was set counts alone.
func systemUptime() Uptime { return Uptime{} }
