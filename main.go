// Command fob is a credential manager for the terminal: it logs in to OAuth
// providers, keeps the logins sealed and prints fresh access tokens.
package main

import (
	"os"

	"github.com/fobcli/fob/cmd"
)

func main() {
	os.Exit(cmd.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
