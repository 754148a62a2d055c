package key

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/records"
	"github.com/fobcli/fob/internal/sanitize"
)

func newPepperCmd(a *app.App) *cobra.Command {
	return usage.Group(a, "", &cobra.Command{
		Use:   "pepper",
		Short: "Manage secrets that are mixed into the hashes",
		Long: `A pepper is a secret that is mixed into the hashes of keys: a copy of the registry
is useless without it. It is stored sealed on each machine that creates or verifies
keys, and never in the registry.`,
		Example: `  fob key pepper add p1
  fob key pepper use p1
  fob key pepper export p1 | ssh HOST fob key pepper add p1 --stdin`,
	}, "", newPepperAddCmd, newPepperUseCmd, newPepperExportCmd, newPepperListCmd, newPepperRequireCmd, newPepperRemoveCmd)
}

type pepperAddOptions struct {
	Stdin bool `flag:"stdin" help:"read it from stdin: 32 bytes or more, in hex or base64"`
}

func newPepperAddCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "add NAME",
		Short: "Add a pepper to this machine",
		Long: `Create a pepper and store it on this machine; --stdin reads one, so that several
machines have the same. Keep a copy of it ('fob key pepper export'): without it,
keys that use it cannot be verified.`,
		Example: `  fob key pepper add p1
  fob key pepper add p1 --stdin <p1.hex`,
		Args: pepperName,
	}, pepperAddOptions{}, runPepperAdd, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func pepperName(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return cli.WithHint(cli.Usagef("'%s' needs the name of one pepper", cmd.CommandPath()), "use a short name, as in p1")
	}
	if err := config.CheckName(args[0]); err != nil {
		return cli.WithHint(cli.Usagef("invalid name of a pepper"), "use a short name, as in p1; the pepper itself is read with --stdin")
	}
	return nil
}

func runPepperAdd(ctx context.Context, a *app.App, args []string, opts pepperAddOptions) error {
	name, value := args[0], apikey.NewPepper()
	if opts.Stdin {
		var err error
		if value, err = readPepper(ctx, a); err != nil {
			return err
		}
	}
	err := records.ChangePeppers(ctx, a, func(peppers map[string][]byte) error {
		if _, there := peppers[name]; there {
			return cli.WithHint(fmt.Errorf("this machine already has a pepper %q", name), "keys may need it: choose another name for the new one")
		}
		peppers[name] = value
		return nil
	})
	if err != nil {
		return err
	}
	a.Note("Added the pepper %q. To use it for new hashes, run 'fob key pepper use %s'.", name, name)
	return nil
}

func readPepper(ctx context.Context, a *app.App) ([]byte, error) {
	const hint = "use 32 random bytes or more, in hex or base64, as printed by 'openssl rand -hex 32'"
	text, err := a.SecretOnStdin(ctx, "Pepper, in hex or base64:")
	if err != nil {
		return nil, cli.WithHint(err, hint)
	}
	value, err := apikey.ParsePepper(text.Reveal())
	return value, cli.WithHint(cli.AsUsage(err), hint)
}

func newPepperUseCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "use NAME",
		Short: "Use a pepper for new hashes",
		Long: `Hash new keys with this pepper. Keys with another pepper get it when they are next
verified, and need the old one until then. Keys without a pepper only get it if
config.toml has add_pepper = true under [keys]: anyone who can write to the registry
can add such hashes. Remove the setting afterwards.`,
		Example: `  fob key pepper use p1`,
		Args:    pepperName,
	}, usage.NoFlags{}, runPepperUse, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func runPepperUse(ctx context.Context, a *app.App, args []string, _ usage.NoFlags) error {
	name := args[0]
	if _, err := findPepper(ctx, a, name); err != nil {
		return err
	}
	g, err := appkeys.Open(ctx, a, true)
	if err != nil {
		return err
	}
	defer g.Close()
	if err := g.SetPepper(ctx, name); err != nil {
		return err
	}
	a.Note("New hashes use the pepper %q. Keys with another pepper get it when they are next verified; keys without one only with add_pepper in config.toml.", name)
	a.Note("Every machine that verifies keys needs it. Keep a copy: 'fob key pepper export %s'.", name)
	return nil
}

func findPepper(ctx context.Context, a *app.App, name string) ([]byte, error) {
	peppers, err := records.ReadPeppers(ctx, a)
	if err == nil && peppers[name] == nil {
		err = cli.WithHint(fmt.Errorf("this machine has no pepper %q", name), "add it with 'fob key pepper add %s'; 'fob key pepper list' lists the others", name)
	}
	return peppers[name], err
}

func newPepperExportCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "export NAME",
		Short: "Print a pepper, to copy it or to back it up",
		Long: `Print a pepper in hex on stdout, unless that is a terminal. Keys that were hashed with
it cannot be verified without it.`,
		Example: `  fob key pepper export p1 | ssh HOST fob key pepper add p1 --stdin
  fob key pepper export p1 | age --encrypt --passphrase >p1.age`,
		Args: pepperName,
	}, usage.NoFlags{}, runPepperExport, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitStorage, cli.ExitInterrupted)
}

func runPepperExport(ctx context.Context, a *app.App, args []string, _ usage.NoFlags) error {
	name := args[0]
	if cli.IsTerminal(a.Out) {
		return cli.WithHint(cli.Usagef("refusing to print a pepper on a terminal"), "pipe it: 'fob key pepper export %s | age --encrypt --passphrase >%s.age'", name, name)
	}
	value, err := findPepper(ctx, a, name)
	if err == nil {
		_, err = fmt.Fprintln(a.Out.Raw(), hex.EncodeToString(value))
	}
	return err
}

func newPepperListCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:     "list",
		Short:   "List this machine's peppers",
		Long:    `List the names of this machine's peppers, and mark the one that new hashes use.`,
		Example: `  fob key pepper list`,
		Args:    usage.NoArgs,
	}, usage.NoFlags{}, runPepperList, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitInterrupted)
}

func runPepperList(ctx context.Context, a *app.App, _ []string, _ usage.NoFlags) error {
	peppers, err := records.ReadPeppers(ctx, a)
	if err != nil {
		return err
	}
	used := ""
	err = appkeys.IfAny(ctx, a, apikey.ModeUse, func(g *keys.Registrar) (err error) {
		used, err = g.Registry.Pepper(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if len(peppers) == 0 {
		a.Note("This machine has no peppers.")
		return nil
	}
	rows := [][]string{{"PEPPER", "USED"}}
	for _, name := range slices.Sorted(maps.Keys(peppers)) {
		rows = append(rows, []string{name, cli.TextIf(name == used, "for new hashes")})
	}
	return a.PrintTable(rows)
}

type pepperRequireOptions struct {
	Off bool `flag:"off" help:"accept keys without a pepper again"`
}

func newPepperRequireCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "require",
		Short: "Refuse keys without a pepper on this machine",
		Long: `Set require_pepper under [keys] in config.toml: on this machine, keys whose hash
has no pepper are refused like unknown keys, and none are created or imported.
Every machine that verifies keys needs the setting: a setting in the registry
could be turned off by anyone who can write to it.

It fails while the registry has such keys that are not revoked. 'fob key rotate'
gives a key the pepper in use; with add_pepper, so does its next verification.`,
		Example: `  fob key pepper require
  fob key pepper require --off`,
		Args: usage.NoArgs,
	}, pepperRequireOptions{}, runPepperRequire, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func runPepperRequire(ctx context.Context, a *app.App, _ []string, opts pepperRequireOptions) error {
	if !opts.Off {
		if err := appkeys.IfAny(ctx, a, apikey.ModeUse, func(g *keys.Registrar) error { return checkPeppered(ctx, g) }); err != nil {
			return err
		}
	}
	paths, err := a.Paths()
	if err != nil {
		return err
	}
	if err := config.Edit(paths.Config, func(c *config.Config) { c.Keys.RequirePepper = !opts.Off }); err != nil {
		return err
	}
	a.Note("Keys without a pepper are %s on this machine; restart 'fob serve' to apply it.", map[bool]string{false: "refused", true: "accepted"}[opts.Off])
	return nil
}

// checkPeppered refuses to require peppers in a registry with keys without one.
func checkPeppered(ctx context.Context, g *keys.Registrar) error {
	ids, err := g.WithoutPepper(ctx)
	if err != nil || len(ids) == 0 {
		return err
	}
	hint := fmt.Sprintf("run 'fob key rotate %s' to replace one of them; 'fob key export' shows which keys have a pepper", sanitize.Line(ids[0]))
	if used, err := g.Registry.Pepper(ctx); err != nil || used == "" { // a rotation would not add a pepper
		hint = fmt.Sprintf("run 'fob key pepper add p1' and 'fob key pepper use p1', then replace the keys: 'fob key rotate %s'", sanitize.Line(ids[0]))
	}
	return cli.WithHint(fmt.Errorf("%s without a pepper would be refused", cli.Plural(len(ids), "key", "keys")), "%s", hint)
}

type pepperRemoveOptions struct {
	Force bool `flag:"force" help:"remove it even if keys need it"`
}

func newPepperRemoveCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a pepper from this machine",
		Long: `Delete a pepper from this machine, which then cannot verify keys that need it: if there
are such keys, --force is required.`,
		Example: `  fob key pepper remove p1`,
		Args:    pepperName,
	}, pepperRemoveOptions{}, runPepperRemove, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

func runPepperRemove(ctx context.Context, a *app.App, args []string, opts pepperRemoveOptions) error {
	name := args[0]
	if !opts.Force {
		if err := appkeys.IfAny(ctx, a, apikey.ModeUse, func(g *keys.Registrar) error { return checkUnused(ctx, g, name) }); err != nil {
			return err
		}
	}
	err := records.ChangePeppers(ctx, a, func(peppers map[string][]byte) error {
		if _, there := peppers[name]; !there {
			return cli.WithHint(fmt.Errorf("this machine has no pepper %q", name), "run 'fob key pepper list' for their names")
		}
		delete(peppers, name)
		return nil
	})
	if err != nil {
		return err
	}
	a.Note("Removed the pepper %q from this machine.", name)
	return nil
}

// checkUnused refuses to remove a pepper that keys or new hashes need.
func checkUnused(ctx context.Context, g *keys.Registrar, name string) error {
	count, inUse, err := g.NeedsPepper(ctx, name)
	if err != nil || count == 0 && !inUse {
		return err
	}
	err = fmt.Errorf("%s cannot be verified without the pepper %q", cli.Plural(count, "key", "keys"), name)
	if count == 0 {
		err = fmt.Errorf("new hashes use the pepper %q", name)
	}
	return cli.WithHint(err, "use --force to remove it anyway")
}
