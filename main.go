// Command fob is a credential manager for the terminal: it logs in to OAuth providers,
// stores the logins encrypted and prints fresh access tokens.
package main

import (
	"fmt"
	"os"

	"github.com/fobcli/fob/cmd"
	"github.com/fobcli/fob/internal/process"
	_ "github.com/fobcli/fob/internal/process/early" // before the other packages
)

func main() {
	if err := process.Protect(); err != nil { // first: see Protect
		fmt.Fprintln(os.Stderr, "error: make fob's memory private:", err)
		os.Exit(1)
	}
	os.Exit(cmd.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
