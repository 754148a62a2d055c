package agent

import "golang.org/x/sys/unix"

// peerUID returns the user on the other side of a socket, from the kernel
// (LOCAL_PEERCRED in unix(4)).
func peerUID(fd int) (int, error) {
	peer, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return -1, err
	}
	return int(peer.Uid), nil
}
