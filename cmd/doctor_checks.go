package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credstore"
	"github.com/fobcli/fob/internal/doctor"
	"github.com/fobcli/fob/internal/safetext"
	"github.com/fobcli/fob/internal/session"
)

// The checks that others look up (doctor_cron.go).
const (
	keyringCheck = "keyring"
	fileKeyCheck = "file key"
	loginCheck   = "login"
)

const configurationCheck = "configuration"

const (
	doctorProbeSize = 6 << 10 // a login with large tokens
	issuersAtOnce   = 8
	loginEndsSoon   = 3 * 24 * time.Hour
)

// examination is one run of the doctor: what it looks at, and what it has found.
type examination struct {
	app      *app
	paths    config.Paths
	cfg      *config.Config
	profiles []config.Profile
	findings []doctor.Finding
}

func (e *examination) add(findings ...doctor.Finding) { e.findings = append(e.findings, findings...) }

// examine makes all checks: the machine first, then each profile.
func (a *app) examine(ctx context.Context, names []string) ([]doctor.Finding, error) {
	paths, err := a.paths()
	if err != nil {
		return nil, err
	}
	e := &examination{app: a, paths: paths}
	if err := e.configuration(names); err != nil {
		return nil, err
	}
	e.add(
		doctor.Folder("data folder", paths.Data),
		doctor.Folder("cache folder", paths.Cache),
		doctor.FreeSpace("data space", paths.Data),
		doctor.FreeSpace("cache space", paths.Cache),
	)
	e.storages(ctx)
	e.loopbacks(ctx)
	e.add(doctor.Browser(a.getenv, exec.LookPath, runtime.GOOS), doctor.Proxy(a.getenv))
	if e.cfg.CAFile != "" {
		e.add(doctor.CAFile(e.cfg.CAFile, a.now()))
	}
	e.eachProfile(ctx)
	if len(names) == 0 {
		e.secrets(ctx)
	}
	return e.findings, nil
}

// configuration reads config.toml. A broken one is a finding, and leaves the
// machine to look at.
func (e *examination) configuration(names []string) error {
	cfg, err := e.app.config()
	defer e.projectFile()
	if err != nil {
		e.cfg = &config.Config{Paths: e.paths}
		e.add(doctor.Failed(configurationCheck, err, cmp.Or(e.app.hint(err), "see to the file's permissions")))
		return nil
	}
	e.cfg = cfg
	e.profiles, err = profilesNamed(cfg, names)
	e.add(doctor.Fine(configurationCheck, "%s, profiles: %d", e.paths.Config, len(cfg.Profiles)))
	return err
}

// projectFile looks at what a call without a profile would find.
func (e *examination) projectFile() {
	const check = "project file"
	_, err := config.Named("", e.app.getenv, func(others *atomicfile.OthersError) {
		e.add(doctor.Finding{Check: check, State: doctor.Warning, Detail: safetext.Line("skipped: " + others.Error()), Fix: e.app.hint(others)})
	})
	if err != nil {
		e.add(doctor.Failed(check, err, e.app.hint(err)))
	}
}

// storages tries each storage that a profile or a secret uses, or that the first one
// would.
func (e *examination) storages(ctx context.Context) {
	profiles := slices.Clone(e.profiles)
	for _, name := range e.cfg.SecretNames() {
		profiles = append(profiles, config.Profile{Storage: e.cfg.Secrets[name].Storage})
	}
	if len(profiles) == 0 {
		profiles = []config.Profile{{}}
	}
	var tried []string
	for _, p := range profiles {
		name, err := e.app.storageName(e.cfg, p)
		if err == nil && slices.Contains(tried, name) {
			continue
		}
		var store *credstore.Store
		if err == nil {
			store, err = e.app.store(e.cfg, p)
		}
		if err != nil {
			e.add(forFinding(doctor.Failed("storage", err, e.fixOf(forProfile(err, p.Name))), p.Name))
			continue
		}
		tried = append(tried, name)
		if name == storageKeyring {
			e.keyring(ctx, store)
		} else {
			e.encryptedFile(ctx, store)
		}
	}
}

func (e *examination) keyring(ctx context.Context, store *credstore.Store) {
	unreachable := credstore.KeyringReachable(e.app.getenv)
	if runtime.GOOS == "linux" {
		// KeyringReachable leaves there what it found, for the D-Bus library.
		e.add(doctor.Bus(unreachable, os.Getenv("DBUS_SESSION_BUS_ADDRESS")))
	}
	path := filepath.Join(e.paths.Data, "seal.key")
	_ = e.sealKey(ctx, store, "seal key", path, !exists(filepath.Join(e.paths.Data, "id")))
	e.app.progress("Trying the OS keyring...")
	err := store.Probe(ctx, doctorProbeSize)
	if runtime.GOOS == "linux" {
		e.add(doctor.Lock(err))
	}
	e.add(doctor.RoundTrip(keyringCheck, doctorProbeSize, err, e.fixOf(err)))
}

func (e *examination) encryptedFile(ctx context.Context, store *credstore.Store) {
	const check = "encrypted file"
	source := e.app.fileKey(e.cfg).name
	fresh := source == passphraseSource && !exists(filepath.Join(e.paths.Data, "seal.json")) && !exists(filepath.Join(e.paths.Data, "records"))
	err := e.sealKey(ctx, store, fileKeyCheck, source, fresh)
	switch {
	case fresh: // a probe would ask for a new passphrase
		e.add(doctor.Skipped(check, "the first login sets the passphrase"))
	case err != nil:
		e.add(doctor.Skipped(check, "there is no key to seal with"))
	default:
		err := store.Probe(ctx, doctorProbeSize)
		e.add(doctor.RoundTrip(check, doctorProbeSize, err, e.fixOf(err)))
	}
}

func (e *examination) sealKey(ctx context.Context, store *credstore.Store, check, source string, fresh bool) error {
	err := store.CheckKey(ctx)
	e.add(doctor.SealKey(check, source, fresh, err, e.fixOf(err)))
	return err
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// loopbacks tries both address families. IPv4 is the default redirect's; IPv6 may
// be missing unless a profile's redirect uses it.
func (e *examination) loopbacks(ctx context.Context) {
	bad, wanted := doctor.OK, ""
	for _, p := range e.profiles {
		redirect, err := url.Parse(p.WithProvider().RedirectURI)
		if err != nil {
			continue
		}
		switch redirect.Hostname() {
		case "::1":
			bad, wanted = doctor.Problem, fmt.Sprintf("the redirect of profile %q is there", p.Name)
		case "localhost":
			if bad == doctor.OK {
				bad, wanted = doctor.Warning, fmt.Sprintf("the redirect of profile %q is on localhost, which a browser may look for there", p.Name)
			}
		}
	}
	listen := new(net.ListenConfig).Listen
	e.add(
		doctor.Loopback(ctx, listen, "127.0.0.1", doctor.Problem, "logins wait there for the browser"),
		doctor.Loopback(ctx, listen, "::1", bad, wanted),
	)
}

// eachProfile reads the logins one after the other, since a store serves one caller
// at a time, and then asks the issuers at once. The findings keep the profiles' order.
func (e *examination) eachProfile(ctx context.Context) {
	found := make([][]doctor.Finding, len(e.profiles))
	for i, p := range e.profiles {
		found[i] = e.profile(ctx, p)
	}
	if len(e.profiles) > 0 {
		e.app.progress("Asking the issuers...")
	}
	slots := make(chan struct{}, issuersAtOnce)
	var wg sync.WaitGroup
	for i, p := range e.profiles {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			found[i] = append(found[i], e.issuer(ctx, p)...)
		})
	}
	wg.Wait()
	for i, p := range e.profiles {
		for _, f := range found[i] {
			e.add(forFinding(f, p.Name))
		}
	}
}

// forFinding makes a finding one profile's.
func forFinding(f doctor.Finding, profile string) doctor.Finding {
	f.Profile = profile
	if profile != "" {
		f.Fix = strings.ReplaceAll(f.Fix, "PROFILE", profile)
	}
	return f
}

// profile looks at what lies on this machine of a profile: its CA file and its
// login. It needs no network, and no HTTP client that a broken CA file would keep
// from being made.
func (e *examination) profile(ctx context.Context, p config.Profile) []doctor.Finding {
	if err := e.cfg.Vet(p); err != nil {
		return []doctor.Finding{doctor.Failed(configurationCheck, err, e.app.hint(err))}
	}
	var found []doctor.Finding
	if p.CAFile != "" {
		found = append(found, doctor.CAFile(p.CAFile, e.app.now()))
	}
	if showsIdentity(p) {
		return append(found, doctor.Fine(loginCheck, "nothing is stored: 'fob token %s' shows the machine's identity", p.Name))
	}
	store, err := e.app.store(e.cfg, p)
	if err != nil {
		return append(found, doctor.Skipped(loginCheck, "%s", err))
	}
	s := &session.Session{Profile: p.WithProvider(), Paths: e.paths, Store: store, Clock: e.app.clock, Warn: func(string) {}}
	status := s.Status(ctx)
	found = append(found, e.loginFinding(p.Name, status))
	if p.Grant == "" {
		found = append(found, e.redirect(p, status.Registered))
	}
	return found
}

// redirect reports a redirect that does not tell the profile's issuer from another.
func (e *examination) redirect(p config.Profile, registered bool) doctor.Finding {
	const check = "redirect"
	better, shared := e.cfg.SharesRedirect(p)
	if !shared {
		return doctor.Fine(check, "%s", p.Redirect())
	}
	fix := `run 'fob profile set PROFILE --redirect-uri "` + better + `"', then register what it prints in place of the old redirect`
	if registered {
		fix = "run 'fob logout PROFILE --unregister', then 'fob login PROFILE': fob registers a new one"
	}
	return doctor.Finding{Check: check, State: doctor.Warning, Detail: p.Redirect() + " is shared with other issuers: another server could receive the authorization code", Fix: fix}
}

func (e *examination) loginFinding(profile string, status session.Status) doctor.Finding {
	again, now := "run 'fob login "+profile+"'", e.app.now()
	end := status.RefreshExpiresAt
	switch {
	case status.State == session.StateUnreadable:
		return doctor.Failed(loginCheck, status.Err, e.fixOf(forProfile(status.Err, profile)))
	case slices.Contains([]session.State{session.StateLoggedOut, session.StateExpired, session.StateEnded}, status.State):
		return doctor.Finding{Check: loginCheck, State: doctor.Warning, Detail: string(status.State), Fix: again}
	case !end.IsZero() && end.Sub(now) < loginEndsSoon:
		return doctor.Finding{Check: loginCheck, State: doctor.Warning, Detail: "the login ends " + leftText(end, now), Fix: again}
	}
	return doctor.Fine(loginCheck, "%s", status.State)
}

// secrets reads the secrets that others have issued, and looks when they end.
func (e *examination) secrets(ctx context.Context) {
	const check = "secret"
	before := len(e.findings)
	for _, name := range e.cfg.SecretNames() {
		s := e.cfg.Secrets[name]
		shown := e.app.shownSecret(ctx, e.cfg, s)
		left := s.Expires.Sub(e.app.now())
		fix := "replace it: 'fob secret rotate " + name + "'"
		switch {
		case shown.failure != nil:
			e.add(doctor.Failed(check, shown.failure, e.fixOf(hintOfSecret(shown.failure, name))))
		case shown.Problem != "":
			e.add(doctor.Finding{Check: check, State: doctor.Warning, Detail: name + ": " + shown.Problem, Fix: "go on with it, or give it a value: 'fob secret set " + name + "'"})
		case !s.Expires.IsZero() && left <= 0:
			e.add(doctor.Finding{Check: check, State: doctor.Warning, Detail: name + " has ended", Fix: fix})
		case !s.Expires.IsZero() && left <= secretExpiring:
			e.add(doctor.Finding{Check: check, State: doctor.Warning, Detail: name + " ends " + leftText(s.Expires, e.app.now()), Fix: fix})
		}
	}
	if len(e.cfg.Secrets) > 0 && len(e.findings) == before {
		e.add(doctor.Fine(check, "%s can be read, and none ends soon", plural(len(e.cfg.Secrets), "secret", "secrets")))
	}
}

// issuer asks a profile's server, where it is one that describes itself.
func (e *examination) issuer(ctx context.Context, p config.Profile) []doctor.Finding {
	const check = "issuer"
	full := p.WithProvider()
	if full.AuthorizationEndpoint != "" && full.TokenEndpoint != "" || full.Issuer == "" {
		return []doctor.Finding{doctor.Skipped(check, "the profile names its endpoints")}
	}
	if ca := cmp.Or(p.CAFile, e.cfg.CAFile); ca != "" && doctor.CAFile(ca, e.app.now()).State == doctor.Problem {
		return []doctor.Finding{doctor.Skipped(check, "its CA file cannot be used")} // a pipe there would hang the HTTP client
	}
	hc, err := e.app.httpClient(p)
	if err != nil {
		return []doctor.Finding{doctor.Skipped(check, "%s", err)}
	}
	return doctor.Issuer(ctx, hc, full.Issuer, e.app.now)
}

// fixOf is the hint that the error would have as a command's end, or one that is
// better than none.
func (e *examination) fixOf(err error) string {
	hinted, ok := errors.AsType[*hintError](err)
	switch {
	case ok:
		return hinted.hint
	case errors.As(err, new(*credstore.KeyError)):
		return "give a good key: key_file in config.toml names a file of 32 bytes, outside fob's folders, with mode 0600"
	}
	return cmp.Or(e.app.hint(err), "mend what the message names, then run 'fob doctor' again")
}
