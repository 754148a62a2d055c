//go:build !linux

package loopback

import "net/netip"

// checkOwner accepts every connection: here the start page's URL is not in arguments
// that other users can read (see start.go).
func checkOwner(netip.AddrPort, netip.AddrPort) error { return nil }
