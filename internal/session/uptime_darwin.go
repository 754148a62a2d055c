package session

import (
	"time"

	"golang.org/x/sys/unix"
)

func systemUptime() Uptime {
	boot, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return Uptime{}
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil { // includes sleep on this system
		return Uptime{}
	}
	return Uptime{Boot: boot, Time: time.Duration(now.Nano())}
}
