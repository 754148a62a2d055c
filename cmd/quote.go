package cmd

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/fobcli/fob/internal/safetext"
)

// How values are written for programs that read them as text.

// shells are those that quoteFor knows.
var shells = []string{"sh", "fish", "powershell"}

// defaultShell is the one that most likely reads what fob prints.
func defaultShell() string {
	if runtime.GOOS == "windows" {
		return "powershell"
	}
	return "sh"
}

// exportLine sets an environment variable in a shell.
func exportLine(shell, name, value string) string {
	switch shell {
	case "fish":
		return fmt.Sprintf("set -gx %s '%s'\n", name, strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value))
	case "powershell":
		// PowerShell takes typographic quotes for quotes.
		quoted := strings.NewReplacer("'", "''", "‘", "‘‘", "’", "’’", "‚", "‚‚", "‛", "‛‛").Replace(value)
		return fmt.Sprintf("$env:%s = '%s'\n", name, quoted)
	}
	return fmt.Sprintf("export %s=%s\n", name, quoteSh(value))
}

// quoteSh makes one word of a text, for a POSIX shell.
func quoteSh(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// inertPath is a path as it can be shown: whole, and on one line.
func inertPath(path string) string {
	return safetext.Lines(strings.ReplaceAll(path, "\n", " "))
}

// curlHeader is a header in a configuration for curl -K.
func curlHeader(name, value string) string {
	return fmt.Sprintf("header = \"%s: %s\"\n", name, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value))
}

// netrcLine is what a .netrc has for a host. A password that is no single word is quoted,
// as curl and wget read it.
func netrcLine(host, login, password string) string {
	if strings.ContainsAny(password, " \t\"\\#'") {
		password = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(password) + `"`
	}
	return fmt.Sprintf("machine %s login %s password %s\n", host, login, password)
}
