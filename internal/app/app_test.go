package app

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fobcli/fob/internal/authservertest"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/discovery"
	"github.com/fobcli/fob/internal/oauth"
	"github.com/fobcli/fob/internal/session"
)

// fixture is an App with buffers, a home of its own and sealed files as its storage.
type fixture struct {
	*App
	t        *testing.T
	home     string
	out, err *bytes.Buffer
	parses   int // of config.toml
}

var sealKey = base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))

func newFixture(t *testing.T, configuration string, environ ...string) *fixture {
	t.Helper()
	f := &fixture{t: t, home: t.TempDir(), out: &bytes.Buffer{}, err: &bytes.Buffer{}}
	variables := map[string]string{"FOB_HOME": f.home, "FOB_STORAGE": "file", "FOB_SEAL_KEY": sealKey, "FOB_AGENT": AgentOff}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		variables[name] = value
	}
	f.App = New(strings.NewReader(""), f.out, f.err, variables)
	getenv := f.Getenv
	f.Getenv = func(name string) string {
		if name == "FOB_STORAGE" { // which config.Load reads, once
			f.parses++
		}
		return getenv(name)
	}
	if configuration != "" {
		f.write("config.toml", configuration)
	}
	return f
}

func (f *fixture) path(name string) string { return filepath.Join(f.home, name) }

func (f *fixture) write(name, text string) {
	f.t.Helper()
	if err := os.WriteFile(f.path(name), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) config() *config.Config {
	f.t.Helper()
	cfg, err := f.Config()
	if err != nil {
		f.t.Fatal(err)
	}
	return cfg
}

func (f *fixture) profile(name string) config.Profile {
	f.t.Helper()
	p, err := f.Profile([]string{name})
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

func startIssuer(t *testing.T, opts authservertest.Options) *authservertest.Server {
	t.Helper()
	server, err := authservertest.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server
}

// login stores a login of the profile, by the authorization code flow.
func (f *fixture) login(profile string) *oauth.TokenResponse {
	f.t.Helper()
	s, err := f.Session(f.profile(profile))
	if err != nil {
		f.t.Fatal(err)
	}
	metadata, err := discovery.Discover(f.t.Context(), s.HTTP, s.Profile.Issuer)
	if err != nil {
		f.t.Fatal(err)
	}
	client := &oauth.Client{HTTP: s.HTTP, Metadata: metadata, ClientID: s.Profile.ClientID, Now: f.Now}
	if err := client.UseAuthMethod(""); err != nil {
		f.t.Fatal(err)
	}
	scopes := []string{"openid", "offline_access"}
	request, err := client.NewAuthorizationRequest("http://127.0.0.1:1/callback", oauth.AuthorizationParams{Scopes: scopes, Extra: map[string]string{"prompt": "consent"}})
	if err != nil {
		f.t.Fatal(err)
	}
	back, err := authservertest.Redirect(f.t.Context(), request.URL(), http.DefaultClient)
	if err != nil {
		f.t.Fatal(err)
	}
	query, err := request.ParsePasted(back)
	if err != nil {
		f.t.Fatal(err)
	}
	code, err := request.Code(query)
	if err != nil {
		f.t.Fatal(err)
	}
	response, err := client.Exchange(f.t.Context(), request, code)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := s.Save(f.t.Context(), session.Login{Client: client, Response: response, Scopes: scopes, Nonce: request.Nonce}); err != nil {
		f.t.Fatal(err)
	}
	return response
}

func TestConfig_IsParsedOnlyOnceChanged(t *testing.T) {
	f := newFixture(t, "[profile.work]\nprovider = \"github\"\n")
	use := func() {
		t.Helper()
		p := f.profile("work")
		for _, call := range []func() error{
			func() error { _, err := f.HTTPClient(p); return err },
			func() error { _, err := f.ProfileStore(p); return err },
			func() error { _, err := f.Session(p); return err },
			func() error { _, err := f.ChildEnviron(true, nil); return err },
			func() error { _, err := f.Config(); return err },
		} {
			if err := call(); err != nil {
				t.Fatal(err)
			}
		}
	}
	expect := func(parses int, when string) {
		t.Helper()
		use()
		use()
		if f.parses != parses {
			t.Errorf("%s: parsed %d times, not %d", when, f.parses, parses)
		}
	}
	expect(1, "unchanged")
	f.write("config.toml", "[profile.work]\nprovider = \"gitlab\"\n\n")
	expect(2, "edited")
	before := f.config()
	if err := f.SaveProfile(config.Profile{Name: "work", Provider: "github"}); err != nil {
		t.Fatal(err)
	}
	f.parses = 2 // an edit parses the file on its own
	expect(3, "saved")
	if after := f.config(); after == before || after.Profiles["work"].Provider != "github" {
		t.Error("a saved profile is not seen")
	}
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes(f.path("config.toml"), later, later); err != nil {
		t.Fatal(err)
	}
	expect(4, "touched")
}

func TestConfig_AppearsAndGoes(t *testing.T) {
	f := newFixture(t, "")
	if n := len(f.config().Profiles); n != 0 {
		t.Errorf("%d profiles without a file", n)
	}
	f.config()
	if f.parses != 1 {
		t.Errorf("the missing file was looked for %d times", f.parses)
	}
	f.write("config.toml", "[profile.work]\nprovider = \"github\"\n")
	if _, known := f.config().Profiles["work"]; !known {
		t.Error("a new file is not read")
	}
	if err := os.Remove(f.path("config.toml")); err != nil {
		t.Fatal(err)
	}
	if n := len(f.config().Profiles); n != 0 {
		t.Errorf("%d profiles of a file that is gone", n)
	}
}

// A configuration that cannot be read is not replaced by the one before.
func TestConfig_DamagedIsAnError(t *testing.T) {
	f := newFixture(t, "[profile.work]\nprovider = \"github\"\n")
	f.config()
	f.write("config.toml", "[profile.work\n")
	for range 2 {
		if _, err := f.Config(); !errors.As(err, new(*config.ParseError)) || !IsUsage(err) {
			t.Errorf("%v", err)
		}
	}
}

func TestConfig_ThatFOB_CONFIGNamesMustExist(t *testing.T) {
	f := newFixture(t, "", "FOB_CONFIG="+filepath.Join(t.TempDir(), "missing.toml"))
	if _, err := f.Config(); !IsUsage(err) || !strings.Contains(err.Error(), "missing.toml") {
		t.Errorf("%v", err)
	}
	f.MakesConfig = true
	if cfg := f.config(); len(cfg.Profiles) != 0 {
		t.Errorf("%+v", cfg.Profiles)
	}
}

func TestConfig_ConcurrentCallsShareOneParse(t *testing.T) {
	f := newFixture(t, "[profile.work]\nprovider = \"github\"\n")
	var wg sync.WaitGroup
	read := make([]*config.Config, 20)
	for i := range read {
		wg.Go(func() { read[i], _ = f.Config() })
	}
	wg.Wait()
	for _, cfg := range read {
		if cfg == nil || cfg != read[0] {
			t.Error("another configuration for another goroutine")
		}
	}
}

func TestStore_IsOpenedOnce(t *testing.T) {
	f := newFixture(t, "[profile.work]\nprovider = \"github\"\n[profile.home]\nprovider = \"gitlab\"\n")
	work, err := f.ProfileStore(f.profile("work"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"home", "work"} {
		if store, err := f.ProfileStore(f.profile(name)); err != nil || store != work {
			t.Errorf("%s has a store of its own: %v", name, err)
		}
	}
	if store, err := f.Store(config.StorageFile); err != nil || store != work {
		t.Errorf("by name: %v", err)
	}
	if store, err := f.Store(config.StorageKeyring); err != nil || store == work {
		t.Errorf("two storages share a store: %v", err)
	}
	if store, err := f.ForRequest(nil, func(string) {}).Store(config.StorageFile); err != nil || store == work {
		t.Errorf("a request of an agent has the store of another: %v", err)
	}
}

func TestProfileStore_WithoutStorage(t *testing.T) {
	f := newFixture(t, "[profile.my-job]\nprovider = \"github\"\n", "FOB_STORAGE=none")
	_, err := f.ProfileStore(f.profile("my-job"))
	if !errors.Is(err, session.ErrLoginRequired) || !strings.Contains(cli.CarriedHint(err), "FOB_TOKEN_MY_JOB or FOB_REFRESH_TOKEN_MY_JOB") {
		t.Errorf("%v, hint %q", err, cli.CarriedHint(err))
	}
}

func TestForRequest_LeavesTheParentAlone(t *testing.T) {
	f := newFixture(t, "[profile.work]\nprovider = \"github\"\n")
	f.In = strings.NewReader("typed")
	cfg := f.config()
	var notes []string
	cache := memoryCache{}
	r := f.ForRequest(cache, func(line string) { notes = append(notes, line) })
	r.Note("for the client")
	r.Warn("also for it")
	f.Note("for the parent")
	if len(notes) != 2 || !strings.Contains(notes[0], "for the client") || strings.Contains(f.err.String(), "client") {
		t.Errorf("notes %q, stderr %q", notes, f.err)
	}
	if !strings.Contains(f.err.String(), "for the parent") {
		t.Errorf("the parent's note is lost: %q", f.err)
	}
	if again, err := r.Config(); err != nil || again == cfg {
		t.Errorf("a request uses what the parent has read: %v", err)
	}
	if f.config() != cfg || f.AgentCache != nil || f.Unattended || !r.Unattended {
		t.Error("the parent has changed")
	}
	if _, err := r.AskSecret(t.Context(), "?"); !errors.Is(err, cli.ErrNoTerminal) {
		t.Errorf("a request prompts: %v", err)
	}
}

// memoryCache is an agent's memory.
type memoryCache map[string][]byte

func (m memoryCache) Get(name string) []byte        { return bytes.Clone(m[name]) }
func (m memoryCache) Put(name string, plain []byte) { m[name] = bytes.Clone(plain) }
func (m memoryCache) Open(ctx context.Context, _ string, open func(context.Context) ([]byte, error)) ([]byte, error) {
	return open(ctx)
}

func TestStore_KeyIsCachedInTheAgent(t *testing.T) {
	issuer := startIssuer(t, authservertest.Options{})
	f := newFixture(t, fmt.Sprintf("[profile.work]\nissuer = %q\nclient_id = \"fob-test\"\n", issuer.Issuer()))
	f.login("work")
	cache := memoryCache{}
	token := func() error {
		r := f.ForRequest(cache, func(string) {})
		_, err := r.Token(t.Context(), f.profile("work"), session.TokenOptions{})
		return err
	}
	if err := token(); err != nil || cache["seal key"] == nil || cache["work"] == nil {
		t.Fatalf("%v, cached: %q", err, slices.Collect(maps.Keys(cache)))
	}
	delete(f.Environ, "FOB_SEAL_KEY") // as in an agent, whose environment has no secrets
	if err := token(); err != nil {
		t.Errorf("with a cached key: %v", err)
	}
	clear(cache)
	if err := token(); err == nil {
		t.Error("a login opens without its key")
	}
}

// All names must stay known: HideVariables ends where one is not, and an identity that the
// configuration names may stand behind it (I66).
func TestI66_ForgetSecretsKeepsNames(t *testing.T) {
	f := newFixture(t, "", "FOB_TOKEN_WORK=a", "FOB_TOKEN=b", "FOB_REFRESH_TOKEN_WORK=c", "FOB_SECRET_DB=d", "FOB_PASSPHRASE_FILE=/e", "FOB_REGISTRY=f", "FOB_ID_TOKEN=g", "PATH=/bin")
	f.ForgetSecrets()
	want := map[string]string{"FOB_HOME": f.home, "FOB_STORAGE": "file", "FOB_AGENT": "off", "FOB_PASSPHRASE_FILE": "/e", "PATH": "/bin"}
	for _, name := range []string{"FOB_TOKEN_WORK", "FOB_TOKEN", "FOB_REFRESH_TOKEN_WORK", "FOB_SECRET_DB", "FOB_REGISTRY", "FOB_ID_TOKEN", "FOB_SEAL_KEY"} {
		want[name] = ""
	}
	if !maps.Equal(f.Environ, want) {
		t.Errorf("%q", f.Environ)
	}
}

func TestProfile_WithoutAny(t *testing.T) {
	f := newFixture(t, "")
	_, err := f.Profile(nil)
	if !errors.As(err, new(*config.SelectError)) || !strings.Contains(cli.CarriedHint(err), "fob login github") {
		t.Errorf("%v, hint %q", err, cli.CarriedHint(err))
	}
}

func TestProfilesNamed(t *testing.T) {
	f := newFixture(t, "[profile.b]\nprovider = \"github\"\n[profile.a]\nprovider = \"gitlab\"\n")
	for _, test := range []struct {
		names []string
		want  string // empty: an error
	}{{nil, "a b"}, {[]string{"b"}, "b"}, {[]string{"b", "a", "b"}, "b a"}, {[]string{"c"}, ""}, {[]string{"a", "c"}, ""}} {
		profiles, err := ProfilesNamed(f.config(), test.names)
		var names []string
		for _, p := range profiles {
			names = append(names, p.Name)
		}
		if got := strings.Join(names, " "); got != test.want || (err != nil) != (test.want == "") {
			t.Errorf("%q: %q, %v", test.names, got, err)
		}
	}
}

func TestSubtract(t *testing.T) {
	a := []string{"x", "y", "x", "z"}
	if got := strings.Join(Subtract(a, []string{"x", "w"}), ""); got != "yz" {
		t.Error(got)
	}
	if got := Subtract(a, nil); len(got) != 4 || strings.Join(a, "") != "xyxz" {
		t.Errorf("%q, and the argument is %q", got, a)
	}
}

func TestPathExists(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "dangling")
	if err := os.Symlink(filepath.Join(dir, "nothing"), link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{dir: true, link: true, filepath.Join(dir, "nothing"): false} {
		if PathExists(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
}

func TestAccount_IsInert(t *testing.T) {
	for _, test := range []struct {
		account session.Account
		want    string
	}{
		{session.Account{Subject: "1", Name: "Ann", Email: "a@example.com"}, "Ann <a@example.com>"},
		{session.Account{Subject: "1", Email: "a@example.com"}, "a@example.com"},
		{session.Account{Subject: "1", Name: "Ann"}, "Ann"},
		{session.Account{Subject: "1"}, "1"},
		{session.Account{}, ""},
	} {
		if got := NewAccount(test.account).String(); got != test.want {
			t.Errorf("%+v: %q", test.account, got)
		}
	}
	if got := NewAccount(session.Account{Name: "a\x1b[31m\nb"}).String(); strings.ContainsAny(got, "\x1b\n") {
		t.Errorf("%q", got)
	}
}

func TestFileKey_Order(t *testing.T) {
	credentials := t.TempDir()
	if err := os.WriteFile(filepath.Join(credentials, "fob.key"), []byte(sealKey), 0o600); err != nil {
		t.Fatal(err)
	}
	service := "CREDENTIALS_DIRECTORY=" + credentials
	const keyFile = "key_file = \"/etc/fob.key\"\n"
	for _, test := range []struct {
		config  string
		environ []string
		want    string
	}{
		{keyFile, []string{service}, SealKeyVariable},
		{keyFile, []string{service, "FOB_SEAL_KEY="}, "/etc/fob.key"},
		{"", []string{service, "FOB_SEAL_KEY="}, filepath.Join(credentials, "fob.key")},
		{"", []string{"CREDENTIALS_DIRECTORY=" + t.TempDir(), "FOB_SEAL_KEY="}, PassphraseSource},
		{"", []string{"FOB_SEAL_KEY="}, PassphraseSource},
	} {
		f := newFixture(t, test.config, test.environ...)
		if got := f.FileKey(f.config()).Name; got != test.want {
			t.Errorf("%q, %q: %s", test.config, test.environ, got)
		}
	}
}

func TestPassphrase_Sources(t *testing.T) {
	file := filepath.Join(t.TempDir(), "passphrase")
	empty := file + "-empty"
	if err := errors.Join(os.WriteFile(empty, nil, 0o600), os.WriteFile(file, []byte("correct horse battery staple\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		environ, command string
		confirm          bool
		want             string // empty: an error
		problem, hint    string
	}{
		"file":                 {environ: "FOB_PASSPHRASE_FILE=" + file, want: "correct horse battery staple"},
		"new from a file":      {environ: "FOB_PASSPHRASE_FILE=" + file, confirm: true, want: "correct horse battery staple"},
		"file before command":  {environ: "FOB_PASSPHRASE_FILE=" + file, command: "echo other", want: "correct horse battery staple"},
		"missing file":         {environ: "FOB_PASSPHRASE_FILE=" + file + "x", problem: "passphrasex", hint: "check FOB_PASSPHRASE_FILE"},
		"empty file":           {environ: "FOB_PASSPHRASE_FILE=" + empty, problem: "is empty", hint: "write the passphrase to the file"},
		"command":              {command: "echo from the command", want: "from the command"},
		"new one is too short": {command: "echo x", confirm: true, problem: "passphrase"},
		"command fails":        {command: "false", problem: "passphrase_command"},
		"no program":           {command: "/nonexistent/program", problem: "passphrase_command"},
		"not a terminal":       {problem: "the encrypted file needs its key"},
		"new, not a terminal":  {confirm: true, problem: "the encrypted file needs its key"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, "", test.environ)
			got, err := askPassphrase(t.Context(), f.IO, strings.Fields(test.command), test.confirm)
			if got.Reveal() != test.want && test.want != "" || (err == nil) != (test.want != "") {
				t.Fatalf("%q, %v", got.Reveal(), err)
			}
			if err != nil && (!strings.Contains(err.Error(), test.problem) || !strings.Contains(cli.CarriedHint(err), test.hint)) {
				t.Error(err, cli.CarriedHint(err))
			}
		})
	}
}

func TestIsUsage(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{cli.Usagef("x"), true}, {fmt.Errorf("y: %w", &config.SelectError{}), true}, {&config.StorageError{}, true},
		{config.ErrEditByHand, true}, {session.ErrLoginRequired, false}, {errors.New("x"), false}, {nil, false},
	} {
		if got := IsUsage(test.err); got != test.want {
			t.Errorf("%v: %v", test.err, got)
		}
	}
}

func TestRekeyed_KeepsTheNewKeyOnly(t *testing.T) {
	issuer := startIssuer(t, authservertest.Options{})
	f := newFixture(t, fmt.Sprintf("[profile.work]\nissuer = %q\nclient_id = \"fob-test\"\n", issuer.Issuer()))
	f.login("work")
	before, err := f.Store(config.StorageFile)
	if err != nil {
		t.Fatal(err)
	}
	key, err := f.FileKey(f.config()).Open(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	f.Environ["FOB_SEAL_KEY"] = base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{9}, 32))
	f.Rekeyed(config.StorageFile, f.path("data"), key)
	after, err := f.Store(config.StorageFile)
	if err != nil || after == before {
		t.Errorf("the store before is still open: %v", err)
	}
	s, err := f.Session(f.profile("work"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Token(t.Context(), session.TokenOptions{}); err != nil {
		t.Errorf("the known key is asked for again: %v", err)
	}
	f.Rekeyed(config.StorageKeyring, "", key)
	if s, err = f.Session(f.profile("work")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Token(t.Context(), session.TokenOptions{}); err == nil {
		t.Error("a key of another storage opens the files")
	}
}

// The records that a keyring is asked for if the lock files are lost.
func TestRecordNames(t *testing.T) {
	cfg, err := config.Parse("config.toml", []byte("[profile.work]\nclient_id = 'fob'\n[secret.'stripe/prod']\n"))
	if err != nil {
		t.Fatal(err)
	}
	if names := recordNames(cfg); !slices.Equal(names, []string{"pepper/peppers", "login/work", "secret/stripe.prod"}) {
		t.Error(names)
	}
}
