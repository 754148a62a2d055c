package e2e

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
)

// soak names the file that the long forms of the tests write: see `make soak`.
// Empty: the short forms run.
var soak = os.Getenv("FOB_SOAK")

// report collects the tables of the long forms.
var report struct {
	mu       sync.Mutex // guards sections
	sections []string
}

func addToReport(section string) {
	report.mu.Lock()
	defer report.mu.Unlock()
	report.sections = append(report.sections, section)
}

func writeReport() error {
	var b strings.Builder
	fmt.Fprintf(&b, `# Soak

What `+"`make soak`"+` found on %s: %s, %d cores, %s.

%s`, time.Now().UTC().Format(time.DateOnly), machineName(), runtime.NumCPU(), runtime.Version(), strings.Join(report.sections, "\n"))
	return os.WriteFile(soak, []byte(b.String()), 0o644)
}
