// Package cmd is fob's command line: one file per command, which parses flags
// into options and calls the rooms below. It is the sole importer of cobra.
package cmd

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Main runs fob with the given arguments and returns its exit status.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends fob at once

	a := newApp(stdin, stdout, stderr, takeEnviron())
	root := newRootCmd(a)
	args = asCalled(os.Args[0], args)
	root.SetArgs(args)
	if completes(args) {
		a.addCompletions(root)
		root.SetOut(withoutBackticks{a.stdout})
	}
	if err := root.ExecuteContext(ctx); err != nil {
		return a.fail(ctx, err)
	}
	return exitDone
}

// asCalled makes a command of the name of a link to fob.
func asCalled(program string, args []string) []string {
	if strings.TrimSuffix(filepath.Base(program), ".exe") == dockerProgram {
		return append([]string{"helper", "docker"}, args...)
	}
	return args
}

// withoutBackticks is for the completions' descriptions: backticks mark the name of a
// flag's value for --help, and a shell shows them as they are.
type withoutBackticks struct{ io.Writer }

func (w withoutBackticks) Write(text []byte) (int, error) {
	_, err := w.Writer.Write(bytes.ReplaceAll(text, []byte("`"), nil))
	return len(text), err
}

func newRootCmd(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "fob",
		Short: "Log in to OAuth providers, use the tokens in scripts, issue API keys",
		Long: `fob keeps logins, API keys and secrets for scripts and machines.

A profile is a login. A key is one that you issue. A secret is one that was issued to you. A destination is where either is brought.`,
		SilenceErrors: true,
		SilenceUsage:  true,

		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return runOverview(cmd.Context(), a) },
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.Version = version() // for --version
	root.SetVersionTemplate(versionLine() + "\n")
	root.SetFlagErrorFunc(wrongFlag)
	addGroup(root, "logins", "Logins:", newLoginCmd(a), newTokenCmd(a), newRefreshCmd(a), newStatusCmd(a), newLogoutCmd(a), newProfileCmd(a))
	addGroup(root, "keys", "API keys that you issue:", newKeyCmd(a), newServeCmd(a), newScanCmd(a), newRulesCmd(a), newIncidentCmd(a))
	addGroup(root, "secrets", "Secrets that others issued, and programs that need one:", newSecretCmd(a), newExecCmd(a), newProxyCmd(a), newAgentCmd(a), newHelperCmd(a), newCICmd(a))
	addGroup(root, "machine", "This machine:", newStorageCmd(a), newDoctorCmd(a), newVersionCmd(a))
	root.SetHelpCommandGroupID("machine")
	root.SetCompletionCommandGroupID("machine")
	root.AddCommand(newChooseCmd(), newDestinationsCmd(), newSettingsCmd())
	a.setHelp(root)
	return root
}

// addGroup adds commands that help shows together.
func addGroup(root *cobra.Command, id, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: id, Title: title})
	for _, c := range commands {
		c.GroupID = id
	}
	root.AddCommand(commands...)
}
