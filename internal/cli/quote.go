package cli

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/fobcli/fob/internal/sanitize"
)

// How values are written for programs that read them as text.

// Shells are those that quoteFor knows.
var Shells = []string{"sh", "fish", "powershell"}

// DefaultShell is the one that most likely reads what fob prints.
func DefaultShell() string {
	if runtime.GOOS == "windows" {
		return "powershell"
	}
	return "sh"
}

// ExportLine sets an environment variable in a shell.
func ExportLine(shell, name, value string) string {
	switch shell {
	case "fish":
		return fmt.Sprintf("set -gx %s '%s'\n", name, strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value))
	case "powershell":
		// PowerShell takes typographic quotes for quotes.
		quoted := strings.NewReplacer("'", "''", "‘", "‘‘", "’", "’’", "‚", "‚‚", "‛", "‛‛").Replace(value)
		return fmt.Sprintf("$env:%s = '%s'\n", name, quoted)
	}
	return fmt.Sprintf("export %s=%s\n", name, QuoteSh(value))
}

// QuoteSh makes one word of a text, for a POSIX shell.
func QuoteSh(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// InertPath is a path as it can be shown: whole, and on one line.
func InertPath(path string) string {
	return sanitize.Lines(strings.ReplaceAll(path, "\n", " "))
}

// CurlHeader is a header in a configuration for curl -K.
func CurlHeader(name, value string) string {
	return fmt.Sprintf("header = \"%s: %s\"\n", name, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value))
}

// NetrcLine is what a .netrc has for a host. A password that is no single word is quoted,
// as curl and wget read it.
func NetrcLine(host, login, password string) string {
	if strings.ContainsAny(password, " \t\"\\#'") {
		password = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(password) + `"`
	}
	return fmt.Sprintf("machine %s login %s password %s\n", host, login, password)
}

// NetrcLogin is the name that servers take beside a token: most look at the token alone.
const NetrcLogin = "oauth2"
