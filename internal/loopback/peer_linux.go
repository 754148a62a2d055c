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

// checkOwner refuses a connection that is not this user's. Not root's either: a service
// that connects to where others tell it to would lend them its uid.
func checkOwner(from, to netip.AddrPort) error {
	uid, found := ownerOf(from, to)
	return judgeOwner(uid, found, os.Geteuid(), inWSL)
}

func judgeOwner(uid int, found bool, own int, inWSL func() bool) error {
	switch {
	case found && uid == own:
		return nil
	case (!found || uid == 0) && inWSL(): // see start.go
		return nil
	case !found:
		return errUnknownPeer
	}
	return fmt.Errorf("it belongs to the user with uid %d", uid)
}

// ownerOf is the uid of the socket that is connected from one address to another. A
// socket of both families is listed with the IPv6 ones also for an IPv4 address.
func ownerOf(from, to netip.AddrPort) (uid int, found bool) {
	const tries = 3 // the kernel's list may miss a socket while others come and go
	for try := 0; try < tries && !found; try++ {
		uid, found = ownerIn("/proc/net/tcp", tableAddr(from.Addr().Unmap().AsSlice(), from.Port())+" "+tableAddr(to.Addr().Unmap().AsSlice(), to.Port()))
		if !found {
			from16, to16 := from.Addr().As16(), to.Addr().As16()
			uid, found = ownerIn("/proc/net/tcp6", tableAddr(from16[:], from.Port())+" "+tableAddr(to16[:], to.Port()))
		}
	}
	return uid, found
}

// ownerIn looks for an established connection: "local remote 01 queues timer retransmits
// uid …". One that was closed is listed as root's.
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

// tableAddr writes an address as the tables have it: as words in the machine's order.
func tableAddr(ip []byte, port uint16) string {
	words := ""
	for word := range slices.Chunk(ip, 4) {
		words += fmt.Sprintf("%08X", binary.NativeEndian.Uint32(word))
	}
	return fmt.Sprintf("%s:%04X", words, port)
}

// inWSL reports whether this Linux runs inside Windows. It asks the kernel: variables
// are lost under sudo.
func inWSL() bool {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	return err == nil && strings.Contains(strings.ToLower(string(release)), "microsoft")
}
