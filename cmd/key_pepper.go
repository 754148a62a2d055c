package cmd

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/safetext"
	"github.com/fobcli/fob/internal/seal"
	"github.com/fobcli/fob/internal/session"
)

func newKeyPepperCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "pepper",
		Short: "Keep a secret that the registry's hashes need",
		Long: `A pepper is a secret that is mixed into the hashes of keys, so that who has the
registry alone cannot even try a key. It lies sealed in fob's storage on each
machine that verifies or makes keys, and never in the registry.`,
		Example: `  fob key pepper add p1
  fob key pepper use p1
  fob key pepper export p1 | ssh HOST fob key pepper add p1 --stdin`,
		Args: noSuchCommand,
		RunE: showHelp,
	}
	c.AddCommand(newKeyPepperAddCmd(a), newKeyPepperUseCmd(a), newKeyPepperExportCmd(a), newKeyPepperListCmd(a), newKeyPepperRequireCmd(a), newKeyPepperRemoveCmd(a))
	return c
}

// peppersContext is what the record of all peppers is sealed for.
var peppersContext = seal.Context{Kind: "pepper", Profile: "peppers"}

// pepperSize is what a pepper has at least, in bytes (RFC 2104 §3: the hash's length).
const pepperSize = 32

// pepper finds a pepper of this machine.
func (a *app) pepper(ctx context.Context, id string) (apikey.Pepper, error) {
	if config.ValidName(id) != nil { // a hint must not have it in it
		return apikey.Pepper{}, fmt.Errorf("%w: %w: %.40q", apikey.ErrDamaged, apikey.ErrUnknownPepper, id)
	}
	peppers, _, err := a.peppers(ctx)
	if err != nil {
		return apikey.Pepper{}, err
	}
	value, known := peppers[id]
	if !known {
		return apikey.Pepper{}, withHint(fmt.Errorf("%w: %q", apikey.ErrUnknownPepper, id),
			"a machine that has it prints it with 'fob key pepper export %s'; here: 'fob key pepper add %s --stdin'", id, id)
	}
	return apikey.Pepper{ID: id, Secret: value}, nil
}

// peppers reads all peppers of this machine, and says where they lie.
func (a *app) peppers(ctx context.Context) (map[string][]byte, credstore.Entry, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, credstore.Entry{}, err
	}
	storage, err := a.peppersStorage(cfg)
	if err != nil {
		return nil, credstore.Entry{}, err
	}
	stored, err := a.peppersRecord(cfg, storage)
	if err != nil {
		return nil, credstore.Entry{}, err
	}
	record, err := stored.entry.Get(ctx)
	if errors.Is(err, credstore.ErrNotFound) {
		return map[string][]byte{}, stored.entry, nil
	}
	if err != nil {
		return nil, stored.entry, peppersUnread(err)
	}
	peppers, err := parsePeppers(record)
	return peppers, stored.entry, err
}

func parsePeppers(r credstore.Record) (map[string][]byte, error) {
	peppers := map[string][]byte{}
	if err := json.Unmarshal(r.Head, &peppers); err != nil {
		return nil, fmt.Errorf("the stored peppers: %w", credstore.ErrCorrupt)
	}
	return peppers, nil
}

// peppersUnread says how to get at the peppers: what helps with a login, to start over,
// would make every key worthless that needs them.
func peppersUnread(err error) error {
	return withHint(fmt.Errorf("the peppers of this machine: %w", err), "%s", cmp.Or(hintOfKept(err), "nothing is lost; 'fob doctor' says what is wrong with the storage"))
}

func newKeyPepperAddCmd(a *app) *cobra.Command {
	var fromStdin bool
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Give this machine a pepper",
		Long: `Make a pepper and keep it sealed on this machine; with --stdin take it from there, so
that several machines have the same one. Keep a copy of one that you use ('fob key pepper
export'): keys cannot be verified without it.

` + exitHelp(exitDone, exitFailed, exitUsage, exitStorage, exitLockTimeout, exitInterrupted),
		Example: `  fob key pepper add p1
  fob key pepper add p1 --stdin <p1.hex`,
		Args: pepperName,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runKeyPepperAdd(cmd.Context(), a, args[0], fromStdin)
		},
	}
	c.Flags().BoolVar(&fromStdin, "stdin", false, "read the secret from stdin: 32 bytes or more, in hex or base64")
	return c
}

func pepperName(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return withHint(usagef("'%s' takes the name of one pepper", cmd.CommandPath()), "a short one, as in p1")
	}
	if err := config.ValidName(args[0]); err != nil {
		return withHint(usagef("that is no name of a pepper"), "a short one, as in p1; the secret itself comes from stdin: --stdin")
	}
	return nil
}

func runKeyPepperAdd(ctx context.Context, a *app, name string, fromStdin bool) error {
	value := apikey.NewPepper()
	if fromStdin {
		var err error
		if value, err = a.readPepper(ctx); err != nil {
			return err
		}
	}
	err := a.changePeppers(ctx, func(peppers map[string][]byte) error {
		if _, there := peppers[name]; there {
			return withHint(fmt.Errorf("this machine has a pepper %q already", name), "keys may need it: give the new one another name")
		}
		peppers[name] = value
		return nil
	})
	if err != nil {
		return err
	}
	a.note("This machine has the pepper %q. Use it for the registry's hashes: 'fob key pepper use %s'.", name, name)
	return nil
}

// changePeppers changes the peppers of this machine, one process at a time.
func (a *app) changePeppers(ctx context.Context, change func(map[string][]byte) error) error {
	_, entry, err := a.peppers(ctx)
	if err != nil {
		return err
	}
	return entry.Locked(ctx, func() error {
		peppers, now, err := a.peppers(ctx)
		if err != nil {
			return err
		}
		if now.Store != entry.Store {
			return session.ErrMoved
		}
		if err := change(peppers); err != nil {
			return err
		}
		if len(peppers) == 0 {
			return entry.Store.Delete(ctx, entry.Context)
		}
		head, err := json.Marshal(peppers)
		if err != nil {
			return err
		}
		return entry.Store.Set(ctx, entry.Context, credstore.Record{Head: head})
	})
}

func (a *app) readPepper(ctx context.Context) ([]byte, error) {
	const hint = "32 random bytes or more, in hex or base64, as 'openssl rand -hex 32' prints them"
	text, err := a.secretOnStdin(ctx, "Pepper, in hex or base64:")
	if err != nil {
		return nil, withHint(err, hint)
	}
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString} {
		if value, err := decode(text.Reveal()); err == nil && len(value) >= pepperSize {
			return value, nil
		}
	}
	return nil, withHint(usagef("that is no pepper"), hint)
}

func newKeyPepperUseCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "use NAME",
		Short: "Make the registry's hashes with a pepper from now on",
		Long: `Make the hashes of new keys with this pepper. Those with another pepper follow when
each key is next verified; until then they need the pepper that they were made with.
Those without one follow only where config.toml has add_pepper = true under [keys]:
whoever can write the registry can put such hashes there. Remove it afterwards.

` + exitHelp(exitDone, exitFailed, exitUsage, exitUnavailable, exitStorage, exitLockTimeout, exitInterrupted),
		Example:           `  fob key pepper use p1`,
		Args:              pepperName,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := a.ownPepper(cmd.Context(), args[0]); err != nil {
				return err
			}
			g, err := a.registrar(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer g.Close()
			if err := g.SetPepper(cmd.Context(), args[0]); err != nil {
				return err
			}
			a.note("New hashes are made with the pepper %q; a key with another gets it when it is next verified, and one without where config.toml has add_pepper.", args[0])
			a.note("Every machine that verifies keys needs it, and you a copy: 'fob key pepper export %s'.", args[0])
			return nil
		},
	}
}

// ownPepper refuses to use a pepper that this machine has not.
func (a *app) ownPepper(ctx context.Context, name string) ([]byte, error) {
	peppers, _, err := a.peppers(ctx)
	if err == nil && peppers[name] == nil {
		err = withHint(fmt.Errorf("this machine lacks the pepper %q", name), "make it: 'fob key pepper add %s'; 'fob key pepper list' shows those that there are", name)
	}
	return peppers[name], err
}

func newKeyPepperExportCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "export NAME",
		Short: "Print a pepper's secret, for a safe or another machine",
		Long: `Print a pepper in hex on stdout, unless that is a terminal. Who has it and the registry
can try keys; who has lost it can verify none that were hashed with it.

` + exitHelp(exitDone, exitFailed, exitUsage, exitStorage, exitInterrupted),
		Example: `  fob key pepper export p1 | ssh HOST fob key pepper add p1 --stdin
  fob key pepper export p1 | age --encrypt --passphrase >p1.age`,
		Args:              pepperName,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if isTerminal(a.stdout) {
				return withHint(usagef("a pepper is not shown on a terminal"), "send it on: 'fob key pepper export %s | age --encrypt --passphrase >%s.age'", args[0], args[0])
			}
			value, err := a.ownPepper(cmd.Context(), args[0])
			if err == nil {
				_, err = fmt.Fprintln(a.stdout.raw(), hex.EncodeToString(value))
			}
			return err
		},
	}
}

func newKeyPepperListCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List this machine's peppers",
		Long: `List the peppers of this machine by name, and mark the one that the registry uses.

` + exitHelp(exitDone, exitFailed, exitUsage, exitUnavailable, exitStorage, exitInterrupted),
		Example: `  fob key pepper list`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runKeyPepperList(cmd.Context(), a)
		},
	}
}

func runKeyPepperList(ctx context.Context, a *app) error {
	peppers, _, err := a.peppers(ctx)
	if err != nil {
		return err
	}
	used := ""
	g, err := a.registrar(ctx, false)
	if err == nil {
		defer g.Close()
		used, err = g.Registry.Pepper(ctx)
	}
	if err != nil && !errors.Is(err, apikey.ErrNoRegistry) {
		return err
	}
	if len(peppers) == 0 {
		a.note("This machine has no pepper.")
		return nil
	}
	rows := [][]string{{"PEPPER", "USED"}}
	for _, name := range slices.Sorted(maps.Keys(peppers)) {
		rows = append(rows, []string{name, yesText(name == used, "for new hashes")})
	}
	return a.printTable(rows)
}

func newKeyPepperRequireCmd(a *app) *cobra.Command {
	var off bool
	c := &cobra.Command{
		Use:   "require",
		Short: "Refuse keys without a pepper on this machine",
		Long: `Set require_pepper under [keys] in config.toml: on this machine, keys whose hash
has no pepper are refused as unknown ones are, and none are created or imported.
Every machine that verifies keys needs the setting: a setting in the registry
could be turned off by anyone who can write to it.

It fails while the registry has such keys that are not revoked. A key gets the
pepper in use by 'fob key rotate', or with add_pepper when it is next verified.

` + exitHelp(exitDone, exitFailed, exitUsage, exitUnavailable, exitStorage, exitLockTimeout, exitInterrupted),
		Example: `  fob key pepper require
  fob key pepper require --off`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runKeyPepperRequire(cmd.Context(), a, !off)
		},
	}
	c.Flags().BoolVar(&off, "off", false, "accept keys without a pepper again")
	return c
}

func runKeyPepperRequire(ctx context.Context, a *app, require bool) error {
	if require {
		if err := a.checkPeppered(ctx); err != nil {
			return err
		}
	}
	paths, err := a.paths()
	if err != nil {
		return err
	}
	if err := config.SetRequirePepper(paths.Config, require); err != nil {
		return err
	}
	a.note("Keys without a pepper are %s on this machine; restart 'fob serve' to apply it.", map[bool]string{true: "refused", false: "accepted"}[require])
	return nil
}

// checkPeppered refuses a registry with keys that require_pepper would refuse.
func (a *app) checkPeppered(ctx context.Context) error {
	g, err := a.registrar(ctx, false)
	if errors.Is(err, apikey.ErrNoRegistry) {
		return nil
	}
	if err != nil {
		return err
	}
	defer g.Close()
	ids, err := g.WithoutPepper(ctx)
	if err != nil || len(ids) == 0 {
		return err
	}
	hint := fmt.Sprintf("'fob key rotate %s' replaces one of them; 'fob key export' shows which keys have a pepper", safetext.Line(ids[0]))
	if used, err := g.Registry.Pepper(ctx); err != nil || used == "" { // a rotation would add no pepper
		hint = "run 'fob key pepper add p1', then 'fob key pepper use p1'"
	}
	return withHint(fmt.Errorf("%s without a pepper would be refused", plural(len(ids), "key", "keys")), "%s", hint)
}

func newKeyPepperRemoveCmd(a *app) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "remove NAME",
		Short: "Take a pepper away from this machine",
		Long: `Delete a pepper of this machine. One that hashes of the registry are made with is
kept unless --force says otherwise: without it this machine verifies none of them.

` + exitHelp(exitDone, exitFailed, exitUsage, exitUnavailable, exitStorage, exitLockTimeout, exitInterrupted),
		Example: `  fob key pepper remove p1`,
		Args:    pepperName,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runKeyPepperRemove(cmd.Context(), a, args[0], force)
		},
	}
	c.Flags().BoolVar(&force, "force", false, "also if keys need it")
	return c
}

func runKeyPepperRemove(ctx context.Context, a *app, name string, force bool) error {
	if !force {
		if err := a.checkUnusedPepper(ctx, name); err != nil {
			return err
		}
	}
	err := a.changePeppers(ctx, func(peppers map[string][]byte) error {
		if _, there := peppers[name]; !there {
			return withHint(fmt.Errorf("this machine has no pepper %q", name), "'fob key pepper list' shows those that it has")
		}
		delete(peppers, name)
		return nil
	})
	if err != nil {
		return err
	}
	a.note("This machine has the pepper %q no more.", name)
	return nil
}

// checkUnusedPepper refuses a pepper that a key which is not over needs.
func (a *app) checkUnusedPepper(ctx context.Context, name string) error {
	g, err := a.registrar(ctx, false)
	if errors.Is(err, apikey.ErrNoRegistry) {
		return nil
	}
	if err != nil {
		return err
	}
	defer g.Close()
	present, err := g.Registry.Pepper(ctx)
	if err != nil {
		return err
	}
	needed := 0
	for r, err := range g.Registry.Keys(ctx, apikey.Filter{}) {
		if err != nil {
			return err
		}
		if state := r.State(a.now()); r.Pepper == name && state != apikey.Revoked && state != apikey.Expired {
			needed++
		}
	}
	if needed == 0 && present != name {
		return nil
	}
	return withHint(fmt.Errorf("%s cannot be verified without the pepper %q, or new ones are made with it", plural(needed, "key", "keys"), name),
		"--force removes it from this machine all the same")
}
