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
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil { // goes on in sleep here
		return Uptime{}
	}
	return Uptime{Boot: boot, Time: time.Duration(now.Nano())}
}
