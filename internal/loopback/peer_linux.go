package loopback

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// checkOwner rejects connections of other users. That includes root, since a service
// that connects to any given address would otherwise act for other users.
func checkOwner(from, to netip.AddrPort) error {
	uid, found := ownerOf(from, to)
	return judgeOwner(uid, found, os.Geteuid(), inWSL)
}

func judgeOwner(uid int, found bool, self int, inWSL func() bool) error {
	switch {
	case found && uid == self:
		return nil
	case (!found || uid == 0) && inWSL(): // see start.go
		return nil
	case !found:
		return errUnknownPeer
	}
	return fmt.Errorf("it belongs to the user with uid %d", uid)
}

// ownerOf returns the uid of the socket that is connected between two addresses. A
// dual-stack socket is listed in the IPv6 table even for an IPv4 address.
func ownerOf(from, to netip.AddrPort) (uid int, found bool) {
	const tries = 3 // the kernel's list may miss a socket while others open and close
	for try := 0; try < tries && !found; try++ {
		uid, found = ownerIn("/proc/net/tcp", tableAddr(from.Addr().Unmap().AsSlice(), from.Port())+" "+tableAddr(to.Addr().Unmap().AsSlice(), to.Port()))
		if !found {
			from16, to16 := from.Addr().As16(), to.Addr().As16()
			uid, found = ownerIn("/proc/net/tcp6", tableAddr(from16[:], from.Port())+" "+tableAddr(to16[:], to.Port()))
		}
	}
	return uid, found
}

// ownerIn searches a table for an established connection: "local remote 01 queues timer
// retransmits uid …". A closed one is listed as root's.
func ownerIn(table, connection string) (uid int, found bool) {
	f, err := os.Open(table)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	const established, uidField = " 01 ", 3
	for lines := bufio.NewScanner(f); lines.Scan(); {
		_, rest, ok := strings.Cut(lines.Text(), " "+connection+established)
		if fields := strings.Fields(rest); ok && len(fields) > uidField {
			uid, err := strconv.Atoi(fields[uidField])
			return uid, err == nil
		}
	}
	return 0, false
}

// tableAddr formats an address as the tables do: as words in host byte order.
func tableAddr(ip []byte, port uint16) string {
	words := ""
	for word := range slices.Chunk(ip, 4) {
		words += fmt.Sprintf("%08X", binary.NativeEndian.Uint32(word))
	}
	return fmt.Sprintf("%s:%04X", words, port)
}

// inWSL reports whether this Linux runs in WSL, by the kernel's name because sudo drops
// variables.
func inWSL() bool {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	return err == nil && strings.Contains(strings.ToLower(string(release)), "microsoft")
}
