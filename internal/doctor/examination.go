package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/apikey/keys"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/records"
	"github.com/fobcli/fob/internal/sanitize"
	"github.com/fobcli/fob/internal/session"
)

// Names of checks that are used more than once.
const (
	configurationCheck = "configuration"
	keyringCheck       = "keyring"
	fileKeyCheck       = "file key"
	loginCheck         = "login"
	issuerCheck        = "issuer"
)

const (
	doctorProbeSize = 6 << 10 // a login with large tokens
	issuersAtOnce   = 8
	loginEndsSoon   = 3 * 24 * time.Hour
)

// examination is one run of the doctor.
type examination struct {
	app      *app.App
	paths    config.Paths
	cfg      *config.Config
	profiles []config.Profile
	findings []Finding
}

func (e *examination) add(findings ...Finding) { e.findings = append(e.findings, findings...) }

// Examine runs all checks: of the machine, then of each profile. With fix, it writes missing
// settings of stored records to config.toml, after a confirmation or with yes.
func Examine(ctx context.Context, a *app.App, names []string, fix, yes bool) ([]Finding, error) {
	paths, err := a.Paths()
	if err != nil {
		return nil, err
	}
	e := &examination{app: a, paths: paths}
	if len(names) == 0 {
		if err := e.orphans(ctx, fix, yes); err != nil {
			return nil, err
		}
	}
	if err := e.configuration(names); err != nil {
		return nil, err
	}
	e.add(
		Folder("data folder", paths.Data),
		Folder("cache folder", paths.Cache),
		FreeSpace("data space", paths.Data),
		FreeSpace("cache space", paths.Cache),
	)
	e.storages(ctx, len(names) == 0)
	e.loopbacks(ctx)
	e.add(Browser(a.Getenv, exec.LookPath, runtime.GOOS, e.example()), Proxy(a.Getenv))
	if e.cfg.CAFile != "" {
		e.add(CAFile(e.cfg.CAFile, a.Now(), "set ca_file in config.toml to a file of PEM certificates"))
	}
	e.eachProfile(ctx)
	if len(names) == 0 {
		e.secrets(ctx)
		e.registry(ctx)
	}
	return e.findings, nil
}

func (e *examination) example() string {
	if len(e.profiles) == 0 {
		return "github"
	}
	return e.profiles[0].Name
}

// configuration reads config.toml. If it is broken, the machine is still checked.
func (e *examination) configuration(names []string) error {
	cfg, err := e.app.Config()
	defer e.projectFile()
	if err != nil {
		e.cfg = &config.Config{Paths: e.paths}
		e.add(Failed(configurationCheck, err, cmp.Or(e.app.Hint(err), "check the file's permissions")))
		return nil
	}
	e.cfg = cfg
	_, err = e.app.Profile(nil)
	if selected, ok := errors.AsType[*config.SelectError](err); ok && selected.Choice.Name != "" {
		e.add(Failed(configurationCheck, err, e.fixOf(err, "")))
	}
	e.profiles, err = app.ProfilesNamed(cfg, names)
	e.add(Fine(configurationCheck, "%s, profiles: %d", e.paths.Config, len(cfg.Profiles)))
	return err
}

// orphans finds records that config.toml does not name. If they cannot be searched for, the
// checks of config.toml and of the storages report why.
func (e *examination) orphans(ctx context.Context, fix, yes bool) error {
	const check = "record"
	lost := map[records.Kind]string{records.Login: "redirect_uri, files, identity and hosts", records.Secret: "to, expires, rotate_with and retire_with"}
	all, _ := records.Orphans(ctx, e.app)
	var rebuilt []records.Record
	for _, r := range all {
		if r, text, err := r.Rebuild(ctx, e.app); fix && err == nil {
			rebuilt = append(rebuilt, r)
			e.app.Note("%s: its settings would be written to config.toml.", text)
		}
	}
	if len(rebuilt) > 0 && !yes {
		unasked := cli.WithHint(cli.Usagef("refusing to change config.toml without confirmation (not a terminal)"), "add --yes if all of these are yours")
		if err := e.app.Confirm(ctx, "Continue?", unasked); err != nil {
			return err
		}
	}
	failed := records.Save(rebuilt)
	for _, r := range all {
		_, text, err := r.Rebuild(ctx, e.app)
		switch err = cmp.Or(err, failed[r.Label]); {
		case err != nil:
			e.add(Failed(check, fmt.Errorf("%s has no settings in config.toml: %w", text, err), e.fixOf(err, r.Name)))
		case fix:
			e.add(Fine(check, "%s has settings in config.toml again; set again what no record has: %s; 'default', [keys] and other tables", text, lost[r.Kind]))
		default:
			e.add(Warn(check, text+" has no settings in config.toml", "restore config.toml from a backup, or run 'fob doctor --fix' to rebuild the settings from the record"))
		}
	}
	return nil
}

func (e *examination) projectFile() {
	const check = "project file"
	_, err := config.Named("", e.app.Getenv, func(others *atomicfile.OthersError) {
		e.add(Warn(check, sanitize.Line("skipped: "+others.Error()), e.app.Hint(others)))
	})
	if err != nil {
		e.add(Failed(check, err, e.app.Hint(err)))
	}
}

// storages tests each storage that a profile or, if all are examined, a secret uses, or that
// the first one would use.
func (e *examination) storages(ctx context.Context, all bool) {
	var tried []string
	try := func(profile, pinned string) {
		name, err := e.cfg.StorageFor(pinned)
		switch {
		case err != nil:
			f := Failed("storage", err, e.fixOf(err, profile))
			f.Profile = profile
			e.add(f)
		case slices.Contains(tried, name):
		default:
			tried = append(tried, name)
			e.storage(ctx, name)
		}
	}
	for _, p := range e.profiles {
		try(p.Name, p.Storage)
	}
	for _, name := range e.cfg.SecretNames() {
		if all {
			try("", e.cfg.Secrets[name].Storage)
		}
	}
	if len(e.profiles)+len(e.cfg.Secrets) == 0 {
		try("", "")
	}
}

func (e *examination) storage(ctx context.Context, name string) {
	store, err := e.app.Store(name)
	switch {
	case name == config.StorageNone:
		e.add(Fine("storage", "none: credentials come from the environment"))
	case err != nil:
		e.add(Failed("storage", err, e.fixOf(err, e.example())))
	case name == config.StorageKeyring:
		e.keyring(ctx, store)
	default:
		e.encryptedFile(ctx, store)
	}
}

func (e *examination) keyring(ctx context.Context, store *credstore.Store) {
	unreachable := credstore.KeyringReachable(e.app.Getenv)
	if runtime.GOOS == "linux" {
		// KeyringReachable has set this variable to what it found, for the D-Bus library.
		e.add(DBus(unreachable, os.Getenv("DBUS_SESSION_BUS_ADDRESS"), e.example()))
	}
	e.app.Progress("Trying the OS keyring...")
	err := store.Probe(ctx, doctorProbeSize)
	_ = e.sealKey(ctx, store, "seal key", filepath.Join(e.paths.Data, "seal.key"), false)
	if runtime.GOOS == "linux" {
		e.add(KeyringLock(err, e.example()))
	}
	e.add(RoundTrip(keyringCheck, doctorProbeSize, err, e.fixOf(err, e.example())))
}

func (e *examination) encryptedFile(ctx context.Context, store *credstore.Store) {
	const check = "encrypted file"
	source := e.app.FileKey(e.cfg)
	fresh := source.IsUnused(e.paths.Data)
	err := e.sealKey(ctx, store, fileKeyCheck, source.Name, fresh)
	switch {
	case fresh: // a test would ask for a new passphrase
		e.add(Skipped(check, "the first login sets the passphrase"))
	case err != nil:
		e.add(Skipped(check, "no key to seal with"))
	default:
		err := store.Probe(ctx, doctorProbeSize)
		e.add(RoundTrip(check, doctorProbeSize, err, e.fixOf(err, e.example())))
	}
}

func (e *examination) sealKey(ctx context.Context, store *credstore.Store, check, source string, fresh bool) error {
	err := store.CheckKey(ctx)
	e.add(SealKey(check, source, fresh, err, e.fixOf(err, e.example())))
	return err
}

// loopbacks tries both address families. The default redirect uses IPv4; IPv6 may be
// missing unless a profile's redirect uses it.
func (e *examination) loopbacks(ctx context.Context) {
	bad, reason := OK, ""
	for _, p := range e.profiles {
		redirect, err := url.Parse(p.WithProvider().RedirectURI)
		if err != nil {
			continue
		}
		switch redirect.Hostname() {
		case "::1":
			bad, reason = Problem, fmt.Sprintf("the redirect of profile %q is there", p.Name)
		case "localhost":
			if bad == OK {
				bad, reason = Warning, fmt.Sprintf("the redirect of profile %q is on localhost, which a browser may look for there", p.Name)
			}
		}
	}
	listen := new(net.ListenConfig).Listen
	e.add(
		Loopback(ctx, listen, "127.0.0.1", Problem, "logins listen there for the browser"),
		Loopback(ctx, listen, "::1", bad, reason),
	)
}

// eachProfile reads the logins sequentially, since a store must not be used concurrently,
// and then queries the issuers concurrently. The findings are in the order of the profiles.
func (e *examination) eachProfile(ctx context.Context) {
	found := make([][]Finding, len(e.profiles))
	for i, p := range e.profiles {
		found[i] = e.profile(ctx, p)
	}
	if len(e.profiles) > 0 {
		e.app.Progress("Asking the issuers...")
	}
	var group errgroup.Group
	group.SetLimit(issuersAtOnce)
	for i, p := range e.profiles {
		group.Go(func() error {
			found[i] = append(found[i], e.issuer(ctx, p)...)
			return nil
		})
	}
	_ = group.Wait()
	for i, p := range e.profiles {
		for _, f := range found[i] {
			f.Profile = p.Name
			e.add(f)
		}
	}
}

// profile checks a profile's CA file and login. It uses no network and no HTTP client,
// which a broken CA file would prevent.
func (e *examination) profile(ctx context.Context, p config.Profile) []Finding {
	if err := e.cfg.Vet(p); err != nil {
		return []Finding{Failed(configurationCheck, err, e.app.Hint(err))}
	}
	var found []Finding
	if p.CAFile != "" {
		found = append(found, CAFile(p.CAFile, e.app.Now(), "run 'fob profile set "+p.Name+" --ca-file FILE' with a file of PEM certificates"))
	}
	if app.ShowsIdentity(p) {
		return append(found, Fine(loginCheck, "nothing is stored: 'fob token %s' uses the machine's identity", p.Name))
	}
	store, err := e.app.ProfileStore(p)
	if err != nil {
		return append(found, Skipped(loginCheck, "%s", err))
	}
	s := &session.Session{Profile: p.WithProvider(), Paths: e.paths, Store: store, Clock: e.app.Clock, Warn: func(string) {}}
	status := s.Status(ctx)
	found = append(found, e.loginFinding(p.Name, status))
	if p.Grant == "" {
		found = append(found, e.redirect(p, status.Registered))
	}
	return found
}

// redirect reports a redirect URI that the profile's issuer shares with others.
func (e *examination) redirect(p config.Profile, registered bool) Finding {
	const check = "redirect"
	better, shared := e.cfg.SharesRedirect(p)
	if !shared {
		return Fine(check, "%s", p.Redirect())
	}
	fix := fmt.Sprintf(`run 'fob profile set %s --redirect-uri "%s"', then register what it prints in place of the old redirect`, p.Name, better)
	if registered {
		fix = fmt.Sprintf("run 'fob logout %s --unregister', then 'fob login %s': fob registers a new one", p.Name, p.Name)
	}
	return Warn(check, p.Redirect()+" is shared with other issuers: another server could receive the authorization code", fix)
}

func (e *examination) loginFinding(profile string, status session.Status) Finding {
	again, now := "run 'fob login "+profile+"'", e.app.Now()
	end := status.RefreshExpiresAt
	switch {
	case status.State == session.StateUnreadable:
		return Failed(loginCheck, status.Err, e.fixOf(status.Err, profile))
	case slices.Contains([]session.State{session.StateLoggedOut, session.StateExpired, session.StateEnded}, status.State):
		return Warn(loginCheck, string(status.State), again)
	case !end.IsZero() && end.Sub(now) < loginEndsSoon:
		return Warn(loginCheck, "the login expires "+cli.LeftText(end, now), again)
	}
	return Fine(loginCheck, "%s", status.State)
}

// secrets reads the secrets that others issued, and checks when they expire.
func (e *examination) secrets(ctx context.Context) {
	const check = "secret"
	before := len(e.findings)
	for _, name := range e.cfg.SecretNames() {
		s := e.cfg.Secrets[name]
		shown := e.app.ShownSecret(ctx, e.cfg, s)
		fix := "replace it: 'fob secret rotate " + name + "'"
		switch {
		case shown.Failure != nil:
			e.add(Failed(check, shown.Failure, e.fixOf(shown.Failure, "")))
		case shown.Rotation != "":
			e.add(Warn(check, name+": "+shown.Problem, "continue it: 'fob secret rotate "+name+" --resume'"))
		case shown.Problem != "":
			e.add(Warn(check, name+": "+shown.Problem, "set it again: 'fob secret set "+name+"'"))
		case !s.Expires.IsZero() && s.Expires.Sub(e.app.Now()) <= app.SecretExpiring:
			e.add(Warn(check, name+" "+cli.ExpiryText(s.Expires, e.app.Now()), fix))
		}
	}
	if len(e.cfg.Secrets) > 0 && len(e.findings) == before {
		e.add(Fine(check, "%s can be read, and none expires soon", cli.Plural(len(e.cfg.Secrets), "secret", "secrets")))
	}
}

// registry reads the registry of API keys, if there is one.
func (e *examination) registry(ctx context.Context) {
	const check = "registry"
	err := appkeys.IfAny(ctx, e.app, apikey.ModeInspect, func(g *keys.Registrar) error {
		e.app.Progress("Reading the registry...")
		err := g.Registry.Check(ctx)
		if err != nil {
			return err
		}
		e.add(Fine(check, "everything in it can be read"))
		end, err := g.Registry.Log(ctx, math.MaxInt64, nil)
		if end.Pending > 0 {
			e.add(Warn(check, "the revocation of "+cli.Plural(end.Pending, "key", "keys")+" is unfinished", "run 'fob key revoke --resume'"))
		}
		return err
	})
	if errors.Is(err, apikey.ErrOlderSchema) {
		e.add(Warn(check, err.Error()+", which cannot use it after the next key command of this one", "update fob everywhere, then run 'fob key list'"))
	} else if err != nil {
		e.add(Failed(check, err, e.fixOf(err, "")))
	}
}

// issuer checks a profile's server, if it has metadata.
func (e *examination) issuer(ctx context.Context, p config.Profile) []Finding {
	full := p.WithProvider()
	if full.AuthorizationEndpoint != "" && full.TokenEndpoint != "" || full.Issuer == "" {
		return []Finding{Skipped(issuerCheck, "the profile names its endpoints")}
	}
	if ca := cmp.Or(p.CAFile, e.cfg.CAFile); ca != "" && CAFile(ca, e.app.Now(), "").State == Problem {
		return []Finding{Skipped(issuerCheck, "its CA file cannot be used")} // a pipe there would hang the HTTP client
	}
	hc, err := e.app.HTTPClient(p)
	if err != nil {
		return []Finding{Skipped(issuerCheck, "%s", err)}
	}
	return Issuer(ctx, hc, p.Name, full.Issuer, e.app.Now)
}

// fixOf returns the hint that a command would print for the error, with the profile's name
// in it, or a general one.
func (e *examination) fixOf(err error, profile string) string {
	hint := cli.CarriedHint(err)
	if hint == "" && errors.As(err, new(*credstore.KeyError)) {
		hint = "set key_file in config.toml to a file of 32 bytes with mode 0600, outside fob's folders"
	}
	return cmp.Or(hint, e.app.Hint(cli.ForProfile(err, profile)), "fix the cause, then run 'fob doctor' again")
}
