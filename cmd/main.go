// Package cmd is fob's command line: one file per command, which parses flags
// into options and calls the rooms below. It is the sole importer of cobra.
package cmd

import (
	"context"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
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
	a.hint, a.status = hintIn, exitOf
	a.removers = append(a.removers, func(ctx context.Context, dryRun bool) { a.purgeGit(ctx, dryRun) })
	args = asCalled(os.Args[0], args)
	root := newRootCmd(a, args)
	root.SetArgs(args)
	if completes(args) {
		completionsOf(a).addCompletions(root)
		root.SetOut(newInertWriter(a.stdout.raw(), inertCompletion))
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

// group is commands that help shows together.
type group struct {
	id, title string
	commands  []command
}

// command is made when it is called by its name: to make them all takes a quarter of
// fob's start.
type command struct {
	name string
	make func(*app) *cobra.Command
}

func groups() []group {
	return []group{
		{"logins", "Logins:", []command{
			{"login", newLoginCmd}, {"token", newTokenCmd}, {"refresh", newRefreshCmd}, {"status", newStatusCmd}, {"logout", newLogoutCmd}, {"profile", newProfileCmd},
		}},
		{"keys", "API keys that you issue:", []command{
			{"key", newKeyCmd}, {"serve", newServeCmd}, {"scan", newScanCmd}, {"rules", newRulesCmd}, {"incident", newIncidentCmd},
		}},
		{"secrets", "Secrets that others issued, and programs that need one:", []command{
			{"secret", newSecretCmd}, {"exec", newExecCmd}, {"allow", newAllowCmd}, {"proxy", newProxyCmd}, {"agent", newAgentCmd}, {"helper", newHelperCmd}, {"ci", newCICmd},
		}},
		{"machine", "This machine:", []command{{"storage", newStorageCmd}, {"doctor", newDoctorCmd}, {"version", newVersionCmd}}},
	}
}

// Root is all of fob's commands, for the tool that writes man pages and completions.
func Root() *cobra.Command {
	return newRootCmd(newApp(strings.NewReader(""), io.Discard, io.Discard, nil), nil)
}

// newRootCmd is fob for a call: with the command that it names, or with all of them where
// its first word is none.
func newRootCmd(a *app, args []string) *cobra.Command {
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
	root.SetOut(a.stdout.raw())
	root.SetErr(a.stderr.raw())
	root.Version = version() // for --version
	root.SetVersionTemplate(versionLine() + "\n")
	root.SetFlagErrorFunc(wrongFlag)
	addCommands(root, a, args)
	a.setHelp(root)
	return root
}

func addCommands(root *cobra.Command, a *app, args []string) {
	called := func(c command) bool { return len(args) > 0 && c.name == args[0] }
	all := groups()
	for _, g := range all {
		if at := slices.IndexFunc(g.commands, called); at >= 0 {
			root.AddCommand(g.commands[at].make(a))
			return
		}
	}
	for _, g := range all {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands {
			sub := c.make(a)
			sub.GroupID = g.id
			root.AddCommand(sub)
		}
	}
	root.SetHelpCommandGroupID("machine")
	root.SetCompletionCommandGroupID("machine")
	root.AddCommand(newChooseCmd(), newDestinationsCmd(), newSettingsCmd())
}
