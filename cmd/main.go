// Package cmd is the root of fob's command line: the table of commands, help, the overview,
// and the mapping from errors to exit statuses and hints. Each family of commands is in a
// folder below it.
package cmd

import (
	"context"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	cmdagent "github.com/fobcli/fob/cmd/agent"
	cmdauth "github.com/fobcli/fob/cmd/auth"
	cmdci "github.com/fobcli/fob/cmd/ci"
	"github.com/fobcli/fob/cmd/completion"
	cmddoctor "github.com/fobcli/fob/cmd/doctor"
	cmdexec "github.com/fobcli/fob/cmd/exec"
	cmdhelper "github.com/fobcli/fob/cmd/helper"
	cmdincident "github.com/fobcli/fob/cmd/incident"
	"github.com/fobcli/fob/cmd/internal/complete"
	"github.com/fobcli/fob/cmd/internal/hint"
	"github.com/fobcli/fob/cmd/internal/usage"
	cmdkey "github.com/fobcli/fob/cmd/key"
	cmdman "github.com/fobcli/fob/cmd/man"
	cmdscan "github.com/fobcli/fob/cmd/scan"
	cmdsecret "github.com/fobcli/fob/cmd/secret"
	cmdserve "github.com/fobcli/fob/cmd/serve"
	cmdstorage "github.com/fobcli/fob/cmd/storage"
	"github.com/fobcli/fob/cmd/topic"
	"github.com/fobcli/fob/cmd/version"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/trace"
)

// Main runs fob with the given arguments and returns its exit status.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx := untilSignal()
	a := app.New(stdin, stdout, stderr, app.TakeEnviron())
	a.Hint, a.Status = hint.Of, exitOf
	a.Removers = append(a.Removers, func(ctx context.Context, dryRun bool) {
		cmdhelper.PurgeGit(ctx, a, dryRun)
		cmdhelper.PurgeDocker(a, dryRun)
	})
	if strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe") == cmdhelper.DockerProgram { // a link to fob
		args = append([]string{"helper", "docker"}, args...)
	}
	root := newRootCmd(a, args)
	root.SetArgs(args)
	if complete.Requested(args) {
		complete.AddTo(root, a)
		root.SetOut(cli.NewInertWriter(a.Out.Raw(), cli.InertCompletion))
	}
	if err := root.ExecuteContext(ctx); err != nil {
		return reportError(ctx, a, err)
	}
	return cli.ExitDone
}

// signalContext ends at Ctrl-C or SIGTERM. It catches them only when something first asks
// whether it has ended, because that costs two threads: until then they simply end fob.
type signalContext struct {
	context.Context
	catch func()
}

func untilSignal() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	return signalContext{ctx, sync.OnceFunc(func() {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
		go func() {
			<-signals
			cancel()
			signal.Stop(signals) // a second Ctrl-C ends fob at once
		}()
	})}
}

func (c signalContext) Done() <-chan struct{} {
	c.catch()
	return c.Context.Done()
}

func (c signalContext) Err() error {
	c.catch()
	return c.Context.Err()
}

type group struct {
	id, title string
	commands  []command
}

// command constructs a command on demand: constructing all of them takes a quarter of fob's
// start-up time.
type command struct {
	name  string
	make  func(*app.App) *cobra.Command
	alias string
}

// command constructs it, with its aliases: 'fob key ls'.
func (c command) command(a *app.App) *cobra.Command {
	cmd := c.make(a)
	if c.alias != "" {
		cmd.Aliases = []string{c.alias}
	}
	for _, sub := range cmd.Commands() {
		switch sub.Name() {
		case "list":
			sub.Aliases = []string{"ls"}
		case "remove":
			sub.Aliases = []string{"rm"}
		}
	}
	return cmd
}

func groups() []group {
	return []group{
		{"logins", "Logins:", []command{
			{"login", cmdauth.NewLogin, ""},
			{"token", cmdauth.NewToken, ""},
			{"refresh", cmdauth.NewRefresh, ""},
			{"status", cmdauth.NewStatus, "whoami"},
			{"logout", cmdauth.NewLogout, ""},
			{"profile", cmdauth.NewProfile, ""},
		}},
		{"keys", "API keys that you issue:", []command{
			{"key", cmdkey.New, ""},
			{"serve", cmdserve.New, ""},
			{"scan", cmdscan.New, ""},
			{"rules", cmdscan.NewRules, ""},
			{"incident", cmdincident.New, ""},
		}},
		{"secrets", "Secrets that others issued, and programs that need one:", []command{
			{"secret", cmdsecret.New, ""},
			{"exec", cmdexec.New, ""},
			{"allow", cmdexec.NewAllowCmd, ""},
			{"proxy", cmdexec.NewProxy, ""},
			{"agent", cmdagent.New, ""},
			{"helper", cmdhelper.New, ""},
			{"ci", cmdci.New, ""},
		}},
		{"machine", "This machine:", []command{
			{"storage", cmdstorage.New, ""},
			{"doctor", cmddoctor.New, ""},
			{"man", func(a *app.App) *cobra.Command { return cmdman.New(a, manual()) }, ""},
			{"version", version.New, ""},
		}},
	}
}

// Root returns all commands, for man pages and completions.
func Root() *cobra.Command {
	return newRootCmd(app.New(strings.NewReader(""), io.Discard, io.Discard, nil), nil)
}

// newRootCmd returns fob's root command: with only the called command, or with all if the
// first word is not a command.
func newRootCmd(a *app.App, args []string) *cobra.Command {
	var version bool
	root := &cobra.Command{
		Use:   "fob",
		Short: "Log in to OAuth providers, use the tokens in scripts, issue API keys",
		Long: `fob stores logins, API keys and secrets for scripts and machines.

A profile is a login. A key is one that you issue. A secret is one that was issued to you. A destination is where either is delivered.`,
		SilenceErrors: true,
		SilenceUsage:  true,

		Args: usage.NoSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if version {
				return a.Out.Printf("%s\n", app.VersionLine())
			}
			return runOverview(cmd.Context(), a)
		},
	}
	root.SetIn(a.In)
	root.SetOut(a.Out.Raw())
	root.SetErr(a.Err.Raw())
	// Cobra's own --version uses text/template, which makes the linker keep all exported methods.
	root.Flags().BoolVarP(&version, "version", "v", false, "print fob's version")
	root.SetFlagErrorFunc(usage.WrongFlag)
	addDebug(root, a)
	setHelp(a, root)
	if !addCalled(root, a, args) {
		addAll(root, a)
	}
	return root
}

// addCalled adds only the called command, and reports whether there is one.
func addCalled(root *cobra.Command, a *app.App, args []string) bool {
	called := func(c command) bool {
		return len(args) > 0 && (c.name == args[0] || c.alias != "" && c.alias == args[0])
	}
	if len(args) > 1 {
		a.Called = args[1]
	}
	for _, g := range groups() {
		if at := slices.IndexFunc(g.commands, called); at >= 0 {
			root.CompletionOptions.DisableDefaultCmd = true
			root.SetHelpCommand(&cobra.Command{Hidden: true}) // --help is enough
			root.AddCommand(g.commands[at].command(a))
			return true
		}
	}
	return false
}

func addAll(root *cobra.Command, a *app.App) {
	for _, g := range groups() {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, c := range g.commands {
			sub := c.command(a)
			sub.GroupID = g.id
			root.AddCommand(sub)
		}
	}
	root.SetHelpCommandGroupID("machine")
	root.SetCompletionCommandGroupID("machine")
	root.AddCommand(append(topic.All(), newSettingsCmd())...)
	root.SetHelpCommand(newHelpCmd())
	completion.Adjust(root)
}

// addDebug adds --debug to every command, which is FOB_DEBUG=1 for one call.
func addDebug(root *cobra.Command, a *app.App) {
	on := !slices.Contains([]string{"", "0", "false"}, a.Getenv("FOB_DEBUG"))
	root.PersistentFlags().BoolVar(&on, "debug", on, "show requests, storage, locks and caches on stderr, without secrets (FOB_DEBUG=1)")
	_ = root.PersistentFlags().MarkHidden("debug") // it would be on every page
	root.PersistentPreRun = func(cmd *cobra.Command, _ []string) {
		if on {
			cmd.SetContext(trace.With(cmd.Context(), func(line string) { a.Note("debug: %s", line) }))
		}
	}
}
