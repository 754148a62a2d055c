package session

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func systemUptime() Uptime {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Uptime{}
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return Uptime{}
	}
	return Uptime{Boot: strings.TrimSpace(string(boot)), Time: time.Duration(now.Nano())}
}
