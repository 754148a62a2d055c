package cli

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/fobcli/fob/internal/sanitize"
)

// Quoting of values for programs.

// DefaultShell returns the shell that most likely reads fob's output.
func DefaultShell() string {
	if runtime.GOOS == "windows" {
		return "powershell"
	}
	return "sh"
}

// ExportLine returns the line that sets an environment variable in a shell: sh, fish or
// powershell.
func ExportLine(shell, name, value string) string {
	switch shell {
	case "fish":
		return fmt.Sprintf("set -gx %s '%s'\n", name, strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value))
	case "powershell":
		// PowerShell also accepts typographic quotes.
		quoted := strings.NewReplacer("'", "''", "‘", "‘‘", "’", "’’", "‚", "‚‚", "‛", "‛‛").Replace(value)
		return fmt.Sprintf("$env:%s = '%s'\n", name, quoted)
	}
	return fmt.Sprintf("export %s=%s\n", name, QuoteSh(value))
}

// QuoteSh quotes a text as one word for a POSIX shell.
func QuoteSh(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// InertPath sanitizes a path to one line, without shortening it.
func InertPath(path string) string {
	return sanitize.Lines(strings.ReplaceAll(path, "\n", " "))
}

// CurlHeader returns a header for a configuration of curl -K.
func CurlHeader(name, value string) string {
	return fmt.Sprintf("header = \"%s: %s\"\n", name, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value))
}

// NetrcLine returns the entry of a host for .netrc. Passwords with special characters are
// quoted, as curl and wget expect.
func NetrcLine(host, login, password string) string {
	if strings.ContainsAny(password, " \t\"\\#'") {
		password = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(password) + `"`
	}
	return fmt.Sprintf("machine %s login %s password %s\n", host, login, password)
}

// NetrcLogin is a user name that servers accept with a token: most ignore it.
const NetrcLogin = "oauth2"
