package session

import (
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fobcli/fob/internal/atomicfile"
)

// boot is read once per process, unless that fails.
var boot struct {
	sync.Mutex
	id string
}

func bootID(path string) string {
	boot.Lock()
	defer boot.Unlock()
	if boot.id == "" {
		text, _ := atomicfile.ReadRegular(path, 64)
		boot.id = strings.TrimSpace(string(text))
	}
	return boot.id
}

func systemUptime() Uptime {
	id := bootID("/proc/sys/kernel/random/boot_id")
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil || id == "" {
		return Uptime{}
	}
	return Uptime{Boot: id, Time: time.Duration(now.Nano())}
}
