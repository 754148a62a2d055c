package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/registrar"
	"github.com/fobcli/fob/internal/registry"
	"github.com/fobcli/fob/internal/safetext"
)

func newKeyCmd(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "Issue, verify, rotate and revoke API keys",
		Long: `Issue API keys for the services that you run. A registry keeps what each key may
do, and of the key itself a hash alone: it is shown once, when it is made.

The registry is a file of this machine, unless FOB_REGISTRY or 'registry' under
[keys] in the configuration names another: sqlite:/PATH, or postgres://HOST/DATABASE
for many machines. 'brand' and 'environments' under [keys] say what keys look like.`,
		Example: `  fob key create --owner billing --env test --scope orders:read
  fob key verify --scope orders:read <key.txt
  fob key list --expiring 14d`,
		Args: noSuchCommand,
		RunE: showHelp,
	}
	c.AddCommand(
		newKeyCreateCmd(a),
		newKeyListCmd(a),
		newKeyShowCmd(a),
		newKeyUpdateCmd(a),
		newKeyVerifyCmd(a),
		newKeyRotateCmd(a),
		newKeyPushCmd(a),
		newKeyRevokeCmd(a),
		newKeyImportCmd(a),
		newKeyExportCmd(a),
		newKeyAuditCmd(a),
		newKeyPepperCmd(a),
	)
	return c
}

// registryFile is this machine's own registry, in fob's data folder.
const registryFile = "registry.db"

// registryName is the registry that is meant, and whether it is this machine's own.
func (a *app) registryName() (dsn string, own bool, err error) {
	cfg, err := a.config()
	if err != nil {
		return "", false, err
	}
	if dsn = cmp.Or(a.getenv("FOB_REGISTRY"), cfg.Keys.Registry); dsn != "" {
		return dsn, false, nil
	}
	return "sqlite:" + filepath.Join(cfg.Paths.Data, registryFile), true, nil
}

// registrar opens the registry; with create it makes a missing one. Close it.
func (a *app) registrar(ctx context.Context, create bool) (*registrar.Registrar, error) {
	g, err := a.registrarOf(nil)
	if err != nil {
		return nil, err
	}
	dsn, _, err := a.registryName()
	if err != nil {
		return nil, err
	}
	g.Registry, err = registry.Open(ctx, dsn, create)
	if errors.Is(err, registry.ErrScheme) {
		return nil, withHint(usageOf(err), "see FOB_REGISTRY, or 'registry' under [keys] in the configuration")
	}
	if err != nil {
		return nil, err
	}
	return g, nil
}

// registrarOf applies this machine's settings to a registry.
func (a *app) registrarOf(r apikey.Registry) (*registrar.Registrar, error) {
	format, err := a.keyFormat()
	if err != nil {
		return nil, err
	}
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	return &registrar.Registrar{Registry: r, Format: format, Actor: actor(), Now: a.now, Peppers: func(ctx context.Context, id string) (apikey.Pepper, error) { return a.pepper(ctx, id) }, RequirePepper: cfg.Keys.RequirePepper, AddPepper: cfg.Keys.AddPepper}, nil
}

// keyFormat is what new keys look like: as configured, else the default.
func (a *app) keyFormat() (apikey.Format, error) {
	cfg, err := a.config()
	if err != nil {
		return apikey.Format{}, err
	}
	format := apikey.DefaultFormat
	format.Brand = cmp.Or(cfg.Keys.Brand, format.Brand)
	if len(cfg.Keys.Environments) > 0 {
		format.Environments = cfg.Keys.Environments
	}
	if err := format.Check(); err != nil {
		return format, withHint(usagef("[keys] in the configuration: %s", err), "mend it with an editor; nothing was changed")
	}
	return format, nil
}

// actor is who the audit log says did it: the system's word, not the registry's.
func actor() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return safetext.Line(name)
}

// checkKeyIDs refuses arguments that are no ids, and above all whole keys: those are
// now in the shell's history and were in the list of processes.
func checkKeyIDs(ids []string) error {
	for _, id := range ids {
		if apikey.CheckID(id) == nil {
			continue
		}
		if apikey.LooksLikeKey(id) || len(id) >= 20 {
			return withHint(usagef("a whole key was given as an argument: it now stands in the shell's history, and others could read it in the list of processes"),
				"name keys by their id. To check a key give it on stdin: 'fob key verify <FILE'. This one: 'fob key rotate ID --compromised', and delete the line from the history")
		}
		return withHint(usagef("%q is no key's id: it is 12 letters and digits", safetext.Line(id)), "'fob key list' shows the ids")
	}
	return nil
}

func keyIDs(atLeast int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < atLeast {
			return withHint(usagef("'%s' takes the id of a key", cmd.CommandPath()), "'fob key list' shows the ids")
		}
		return checkKeyIDs(args)
	}
}

func oneKeyID(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return withHint(usagef("'%s' takes the id of one key", cmd.CommandPath()), "see '%s --help'", cmd.CommandPath())
	}
	return keyIDs(1)(cmd, args)
}

// noKeyArgs is noArgs for commands that a key might be given to by mistake.
func noKeyArgs(cmd *cobra.Command, args []string) error {
	if slices.ContainsFunc(args, func(arg string) bool { return apikey.LooksLikeKey(arg) || len(arg) >= 20 }) {
		return checkKeyIDs(args)
	}
	return noArgs(cmd, args)
}

// keyJSON is a key as fob prints it.
type keyJSON struct {
	ID           string            `json:"id"`
	Owner        string            `json:"owner"`
	Environment  string            `json:"environment"`
	Scopes       []string          `json:"scopes"`
	Rate         string            `json:"rate,omitempty"`
	Note         string            `json:"note,omitempty"`
	Metadata     map[string]string `json:"metadata,omitempty"`
	State        apikey.State      `json:"state"`
	CreatedAt    time.Time         `json:"created_at"`
	ExpiresAt    time.Time         `json:"expires_at,omitzero"`
	ExpiresOn    int64             `json:"expires_on,omitempty"`
	RetiresAt    time.Time         `json:"retires_at,omitzero"`
	RevokedAt    time.Time         `json:"revoked_at,omitzero"`
	Predecessor  string            `json:"predecessor,omitempty"`
	Destinations []string          `json:"destinations,omitempty"`
	LastUsedAt   time.Time         `json:"last_used_at,omitzero"`
	Uses         int64             `json:"uses,omitempty"`
}

func newKeyJSON(r apikey.Record, now time.Time) keyJSON {
	k := keyJSON{
		ID: r.ID, Owner: r.Owner, Environment: r.Environment, Scopes: r.Scopes, Rate: r.Rate, Note: r.Note, Metadata: r.Metadata,
		State: r.State(now), CreatedAt: utcSeconds(r.CreatedAt), ExpiresAt: utcSeconds(r.ExpiresAt), RetiresAt: utcSeconds(r.RetiresAt),
		RevokedAt: utcSeconds(r.RevokedAt), Predecessor: r.Predecessor, Destinations: r.Destinations, LastUsedAt: utcSeconds(r.LastUsedAt), Uses: r.Uses,
	}
	if k.Scopes == nil {
		k.Scopes = []string{}
	}
	if !r.ExpiresAt.IsZero() {
		k.ExpiresOn = r.ExpiresAt.Unix()
	}
	return k
}

// scopesText shows what a key may do.
func scopesText(scopes []string) string { return strings.Join(inert(slices.Clone(scopes)...), " ") }

// keyText is a key in one line of a sentence.
func keyText(r apikey.Record) string {
	return fmt.Sprintf("%s (%s, %s)", safetext.Line(r.ID), safetext.Line(r.Environment), safetext.Line(r.Owner))
}
