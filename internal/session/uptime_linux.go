package session

import (
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fobcli/fob/internal/atomicfile"
)

// boot is read once per process.
var boot struct {
	sync.Once
	id string
}

func systemUptime() Uptime {
	boot.Do(func() {
		text, _ := atomicfile.ReadRegular("/proc/sys/kernel/random/boot_id", 64)
		boot.id = strings.TrimSpace(string(text))
	})
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil || boot.id == "" {
		return Uptime{}
	}
	return Uptime{Boot: boot.id, Time: time.Duration(now.Nano())}
}
