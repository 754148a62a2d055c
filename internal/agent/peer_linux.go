package agent

import "golang.org/x/sys/unix"

// peerUID returns the user on the other side of a socket, from the kernel (SO_PEERCRED
// in unix(7)).
func peerUID(fd int) (int, error) {
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return -1, err
	}
	return int(peer.Uid), nil
}
