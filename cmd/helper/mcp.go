package helper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/credhelper"
	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/sanitize"
)

const maxMCPFile = 64 << 20 // Claude Code's file also contains the history of its projects

func newHelperMCPCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "mcp [PROFILE]",
		Short: "Print headers for an MCP client",
		Long: `Print a JSON object with the header Authorization, as Claude Code (headersHelper) and
Codex (http_headers_helper) expect it. 'fob helper install mcp' configures them. They
send the header to the URL configured with the command.`,
		Example: "  fob helper mcp work",
		Args:    usage.AtMostProfile,
	}, usage.NoFlags{}, runHelperMCP, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitLoginRequired, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func runHelperMCP(ctx context.Context, a *app.App, args []string, _ usage.NoFlags) error {
	p, err := a.Profile(args)
	if err != nil {
		return err
	}
	c, err := credential(ctx, a, p, tokenAccess)
	if err != nil {
		return err
	}
	return credhelper.WriteMCP(a.Out.Raw(), c)
}

type mcpOptions struct {
	Client string `flag:"client" values:"claude-code codex" help:"{CLIENT}: claude-code or codex"`
	URL    string `flag:"url" help:"{URL} of the server (default: the profile's resource)"`
	DryRun bool   `flag:"dry-run" help:"print what would be added to the client's file"`
}

func newInstallMCPCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "mcp [PROFILE] --client CLIENT",
		Short: "Use fob in an MCP client",
		Long: `Add a server, named after the profile, to the user's settings of Claude Code or Codex,
which get its tokens from 'fob helper mcp'. Nothing else in their file changes, and a
second call changes nothing. To undo it, run 'claude mcp remove PROFILE' or 'codex mcp
remove PROFILE'.`,
		Example: `  fob helper install mcp work --client codex --dry-run
  fob helper install mcp work --client claude-code --url https://mcp.example.com`,
		Args: usage.AtMostProfile,
	}, mcpOptions{}, runInstallMCP, cli.ExitDone, cli.ExitFailed, cli.ExitUsage)
}

var errUnchanged = errors.New("unchanged")

func runInstallMCP(_ context.Context, a *app.App, args []string, opts mcpOptions) error {
	client, known := credhelper.MCPClients()[opts.Client]
	if !known {
		return cli.WithHint(cli.Usagef("--client is required"), "use --client claude-code or codex; for others see 'fob proxy --help'")
	}
	p, err := a.Profile(args)
	if err != nil {
		return err
	}
	server := cmp.Or(append([]string{opts.URL}, p.Resources...)...)
	if err := oauth.CheckURL(server); err != nil {
		return cli.WithHint(cli.Usagef("the server of profile %q: %s", p.Name, err), "name it: --url https://api.example.com/mcp")
	}
	if len(p.Resources) > 0 && !slices.ContainsFunc(p.Resources, func(resource string) bool { return discovery.OriginOf(resource) == discovery.OriginOf(server) }) {
		return cli.WithHint(cli.Usagef("--url names %s, but the tokens of profile %q are for %s", discovery.OriginOf(server), p.Name, discovery.OriginOf(p.Resources[0])),
			"log in to that server with a profile of its own: 'fob login NAME --resource %s'", sanitize.ShellQuote(server))
	}
	home, err := os.UserHomeDir()
	self, selfErr := executablePath()
	if err := errors.Join(err, selfErr); err != nil {
		return err
	}
	path := filepath.Join(cmp.Or(a.Getenv(client.Variable), filepath.Join(home, client.Folder)), client.File)
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	var added []byte
	change := func(text []byte) (changed []byte, err error) {
		changed, added, err = client.Add(text, p.Name, server, mcpCommand(a, self, p.Name))
		if err == nil && (opts.DryRun || added == nil) {
			err = errUnchanged
		}
		return changed, err
	}
	if !opts.DryRun {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = atomicfile.Replace(path, maxMCPFile, change)
	}
	if opts.DryRun && errors.Is(err, fs.ErrNotExist) { // its folder
		_, err = change(nil)
	}
	switch {
	case errors.Is(err, credhelper.ErrOtherServer):
		return cli.WithHint(fmt.Errorf("%s: %w", path, err), "to replace it, run '%s mcp remove %s' first", strings.TrimSuffix(opts.Client, "-code"), p.Name)
	case errors.Is(err, errUnchanged) && added == nil:
		a.Note("%s already uses fob for the server %s.", opts.Client, p.Name)
	case errors.Is(err, errUnchanged):
		a.Note("would add this to %s:", path)
		return a.Out.Print(sanitize.Lines(string(added)) + "\n")
	case err != nil:
		return cli.WithHint(fmt.Errorf("%s: %w", path, err), "add the server with %s itself, and 'fob helper mcp %s' as its helper", opts.Client, p.Name)
	default:
		a.Note("%s now uses fob for the server %s.", opts.Client, p.Name)
	}
	return nil
}

func mcpCommand(a *app.App, self, profile string) string {
	command := sanitize.ShellQuote(filepath.ToSlash(self)) + " helper mcp " + profile
	switch home := a.Getenv("FOB_HOME"); {
	case home == "":
	case runtime.GOOS == "windows":
		a.Warn("set FOB_HOME for all programs: the client runs fob without it")
	default:
		command = "env FOB_HOME=" + sanitize.ShellQuote(home) + " " + command
	}
	return command
}
