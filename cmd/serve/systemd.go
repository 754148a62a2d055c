package serve

import (
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// systemd reports the service's state to systemd (sd_notify(3)).
type systemd struct {
	socket   string        // "" without systemd
	watchdog time.Duration // 0: none
	ready    atomic.Bool   // READY=1 was sent
	pinged   time.Time
}

func newSystemd(getenv func(string) string) *systemd {
	s := &systemd{socket: getenv("NOTIFY_SOCKET")}
	if pid := getenv("WATCHDOG_PID"); pid == "" || pid == strconv.Itoa(os.Getpid()) {
		usec, _ := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
		s.watchdog = time.Duration(usec) * time.Microsecond
	}
	return s
}

// polled is called after each query of the registry. It keeps the watchdog quiet even if the
// registry is down: a restart would not help.
func (s *systemd) polled(ok bool) {
	if ok && !s.ready.Load() {
		s.notify("READY=1")
		s.ready.Store(true)
	}
	if s.watchdog > 0 && time.Since(s.pinged) >= s.watchdog/4 {
		s.pinged = time.Now()
		s.notify("WATCHDOG=1")
	}
}

// notify ignores errors: the service works without systemd.
func (s *systemd) notify(state string) {
	if s.socket == "" {
		return
	}
	if conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.socket, Net: "unixgram"}); err == nil {
		_, _ = conn.Write([]byte(state))
		_ = conn.Close()
	}
}
