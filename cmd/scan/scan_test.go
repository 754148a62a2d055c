package scan

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/fobcli/fob/cmd/internal/cmdtest"
	"github.com/fobcli/fob/internal/apikey"
	"github.com/fobcli/fob/internal/app"
	appkeys "github.com/fobcli/fob/internal/app/keys"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/leakscan"
)

// plant makes a live key and a revoked one in the registry of a, and files with them.
func plant(t *testing.T, a *cmdtest.App) (dir string, live, revoked apikey.Minted) {
	t.Helper()
	g, err := appkeys.Open(t.Context(), a.App, true)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	minted, _, err := g.Create(t.Context(), apikey.Record{Owner: "shop", Environment: "test", ExpiresAt: cmdtest.Now().Add(time.Hour)}, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Revoke(t.Context(), []string{minted[1].ID}, "test"); err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	for name, text := range map[string]string{
		"config.yml": "a: b\nkey: " + minted[0].Key.Reveal() + "\n", "notes.txt": "old " + minted[1].Key.Reveal(), "empty.txt": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, minted[0], minted[1]
}

func isFindings(err error) bool { return errors.As(err, new(*cli.FindingsError)) }

func TestScan_Formats(t *testing.T) {
	a := cmdtest.New(t, "")
	dir, live, revoked := plant(t, a)
	for name, test := range map[string]struct {
		args    []string
		want    []string
		verdict string
	}{
		"text":      {nil, []string{"config.yml:2:6: ", "_… LIVE: shop\n", "notes.txt:1:5: ", "_… revoked: shop\n"}, "2 keys found, 1 live"},
		"not asked": {[]string{"--no-registry"}, []string{"_… not checked\n"}, "2 keys found"},
		"json":      {[]string{"--format", "json"}, []string{`"live": true`, `"live": false`, `"state": "revoked"`, `"owner": "shop"`, live.ID, revoked.ID}, "2 keys found, 1 live"},
		"sarif":     {[]string{"--format", "sarif"}, []string{`"level": "error"`, `"level": "warning"`, "LIVE: shop"}, "2 keys found, 1 live"},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, err := a.Run(New, append(test.args, dir)...)
			if !isFindings(err) || !strings.HasPrefix(err.Error(), test.verdict) || (test.verdict == "2 keys found") != (err.Error() == test.verdict) {
				t.Errorf("%v", err)
			}
			for _, want := range test.want {
				if !strings.Contains(stdout, want) {
					t.Errorf("%q is not in\n%s", want, stdout)
				}
			}
			if strings.Contains(stdout+stderr, live.Key.Reveal()) || strings.Contains(stdout+stderr, revoked.Key.Reveal()) {
				t.Error("a key is shown whole")
			}
			if test.args == nil && !strings.Contains(stderr, "Scanned 3 files, ") {
				t.Errorf("stderr %q", stderr)
			}
		})
	}
}

func TestScan_Stdin(t *testing.T) {
	a := cmdtest.New(t, "")
	_, live, _ := plant(t, a)
	for text, found := range map[string]bool{"": false, "no key": false, "x " + live.Key.Reveal(): true} {
		a.In = strings.NewReader(text)
		stdout, _, err := a.Run(New, "--stdin")
		if isFindings(err) != found || !found && err != nil || found != strings.HasPrefix(stdout, "stdin:1:3: ") {
			t.Errorf("%.5q: %q, %v", text, stdout, err)
		}
	}
}

func TestScan_WithoutARegistry(t *testing.T) {
	a := cmdtest.New(t, "")
	dir, _, _ := plant(t, a)
	other := cmdtest.New(t, "")
	if stdout, _, err := other.Run(New, dir); !isFindings(err) || strings.Count(stdout, "not checked") != 2 {
		t.Errorf("%q, %v", stdout, err)
	}
	other.Environ["FOB_REGISTRY"] = "odd://x"
	if _, _, err := other.Run(New, dir); isFindings(err) || !strings.Contains(err.Error(), "2 keys found, but not which are live") || !strings.Contains(cli.CarriedHint(err), "--no-registry") {
		t.Errorf("a registry that cannot be asked: %v", err)
	}
}

func TestScan_Usage(t *testing.T) {
	dir := t.TempDir()
	for name, test := range map[string]struct {
		args    []string
		problem string
		usage   bool
		hint    string
	}{
		"an unknown format":      {[]string{"--format", "xml"}, `unknown format "xml"`, true, "text, json, sarif"},
		"stdin and a path":       {[]string{"--stdin", dir}, "too many paths", true, "--help"},
		"git and two paths":      {[]string{"--git", dir, dir}, "too many paths", true, "--help"},
		"git and staged":         {[]string{"--git", "--staged"}, "--git and --staged", true, ""},
		"an empty path":          {[]string{""}, "a path is empty", true, "variable is set"},
		"a wrong brand":          {[]string{"--brand", "A B", dir}, "a brand is", true, ""},
		"a missing path":         {[]string{filepath.Join(dir, "none")}, "none", false, "name existing files and folders"},
		"git and a missing path": {[]string{"--git", filepath.Join(dir, "none")}, "none", false, "name existing files and folders"},
		"no repository":          {[]string{"--git", dir}, "is not in a git repository", false, "run it in a git repository"},
		"a device":               {[]string{os.DevNull}, "neither a file nor a folder", false, "--stdin"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := cmdtest.New(t, "").Run(New, test.args...)
			if err == nil || !strings.Contains(err.Error(), test.problem) || cli.IsUsage(err) != test.usage || !strings.Contains(cli.CarriedHint(err), test.hint) {
				t.Errorf("%v, hint %q", err, cli.CarriedHint(err))
			}
		})
	}
}

func TestFoundKey_Text(t *testing.T) {
	commit := strings.Repeat("a", 40)
	for _, test := range []struct {
		found          foundKey
		where, verdict string
	}{
		{foundKey{Finding: leakscan.Finding{Kind: leakscan.Stdin, Line: 1, Column: 2}, judgment: &judgment{}}, "stdin:1:2", "not checked"},
		{foundKey{Finding: leakscan.Finding{Kind: leakscan.CommitMessage, Line: 1, Column: 2, Commit: commit}, judgment: &judgment{}}, "commit message:1:2 in " + commit[:12], "not checked"},
		{foundKey{Finding: leakscan.Finding{Kind: leakscan.File, Path: "a\x1b", Line: 1, Column: 2, Commit: commit}, judgment: &judgment{checked: true}}, "a:1:2 in " + commit[:12], "not of this registry"},
		{foundKey{Finding: leakscan.Finding{Kind: leakscan.Stdin}, judgment: &judgment{checked: true, state: apikey.Active, record: apikey.Record{Owner: "shop\x1b"}}}, "stdin:0:0", "LIVE: shop"},
		{foundKey{Finding: leakscan.Finding{Kind: leakscan.Stdin}, judgment: &judgment{checked: true, state: apikey.Retiring, record: apikey.Record{Owner: "shop"}}}, "stdin:0:0", "LIVE: shop"},
		{foundKey{Finding: leakscan.Finding{Kind: leakscan.Stdin}, judgment: &judgment{checked: true, state: apikey.Expired, record: apikey.Record{Owner: "shop"}}}, "stdin:0:0", "expired: shop"},
	} {
		if got := test.found.location(); got != test.where {
			t.Errorf("%q, not %q", got, test.where)
		}
		if got := test.found.stateText(); got != test.verdict {
			t.Errorf("%q, not %q", got, test.verdict)
		}
	}
}

func TestBytesText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 10<<10 - 1: "10239 bytes", 10 << 10: "10 KiB", 10<<20 - 1: "10239 KiB", 10 << 20: "10 MiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}

// The rules find what fob mints, for each brand.
func TestRules(t *testing.T) {
	for _, format := range []string{"gitleaks", "betterleaks", "trufflehog", "github"} {
		stdout, _, err := cmdtest.New(t, "").Run(NewRules, "--format", format, "--brand", "acme")
		if err != nil || !strings.Contains(stdout, "fob") || !strings.Contains(stdout, "acme") {
			t.Errorf("%s: %q, %v", format, stdout, err)
		}
	}
	for _, args := range [][]string{{"--format", "xml"}, {"--brand", "a b"}, {"argument"}} {
		if stdout, _, err := cmdtest.New(t, "").Run(NewRules, args...); !cli.IsUsage(err) || stdout != "" {
			t.Errorf("%q: %q, %v", args, stdout, err)
		}
	}
}

func TestScan_JSONIsAList(t *testing.T) {
	a := cmdtest.New(t, "")
	stdout, _, err := a.Run(New, "--format", "json", t.TempDir())
	var list []map[string]any
	if err != nil || json.Unmarshal([]byte(stdout), &list) != nil || list == nil {
		t.Errorf("%q, %v", stdout, err)
	}
}

// Where paths are too long to be shown, each finding still has its own key's state.
func TestScan_SARIFOfLongPaths(t *testing.T) {
	folder := strings.Repeat("long/", 60)
	var out strings.Builder
	a := app.New(strings.NewReader(""), &out, &strings.Builder{}, nil)
	err := printFindings(a, []foundKey{
		{Finding: leakscan.Finding{Kind: leakscan.File, Path: folder + "a", Line: 1, Column: 1}, judgment: &judgment{checked: true, state: apikey.Active}},
		{Finding: leakscan.Finding{Kind: leakscan.File, Path: folder + "b", Line: 1, Column: 1}, judgment: &judgment{checked: true, state: apikey.Revoked}},
	}, leakscan.Result{}, "sarif")
	if err != nil || strings.Count(out.String(), `"level": "error"`) != 1 || strings.Count(out.String(), `"level": "warning"`) != 1 {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// countingRegistry counts what it is asked about keys.
type countingRegistry struct {
	apikey.Registry
	asked int
}

func (r *countingRegistry) Key(ctx context.Context, id string) (apikey.Record, error) {
	r.asked++
	return r.Registry.Key(ctx, id)
}

func TestScan_AsksTheRegistryOncePerKey(t *testing.T) {
	a := cmdtest.New(t, "")
	_, live, revoked := plant(t, a)
	g, err := appkeys.Open(t.Context(), a.App, false)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	counting := &countingRegistry{Registry: g.Registry}
	g.Registry = counting
	found := make([]foundKey, 200_000)
	for i := range found {
		found[i].Key = live.Key
		if i%2 == 1 {
			found[i].Key = revoked.Key
		}
	}
	if err := judgeKeys(t.Context(), g, a.Now(), found); err != nil {
		t.Fatal(err)
	}
	if counting.asked != 2 || !found[199_998].live() || found[199_999].state != apikey.Revoked {
		t.Errorf("asked %d times; %+v", counting.asked, found[199_998].judgment)
	}
}

func TestVerdict_NamesTheLiveKeys(t *testing.T) {
	finding := func(id string, state apikey.State) foundKey {
		return foundKey{Finding: leakscan.Finding{Parts: apikey.Parts{ID: id}}, judgment: &judgment{checked: true, state: state}}
	}
	for want, found := range map[string][]foundKey{
		"1 key found": {finding("1A", apikey.Revoked)},
		"3 keys found, 2 live: run 'fob key rotate 1A --compromised'":    {finding("1A", apikey.Active), finding("1A", apikey.Active), finding("1B", apikey.Expired)},
		"2 keys found, 2 live: run 'fob key rotate 1A 1B --compromised'": {finding("1A", apikey.Active), finding("1B", apikey.Retiring)},
	} {
		if err := verdict(found, false); err == nil || err.Error() != want {
			t.Errorf("%v, not %s", err, want)
		}
	}
	if err := verdict(nil, false); err != nil {
		t.Error(err)
	}
}

func TestVerdict_OnlyLive(t *testing.T) {
	dead := foundKey{judgment: &judgment{checked: true, state: apikey.Revoked}}
	there := foundKey{judgment: &judgment{checked: true, state: apikey.Active}, destination: "dotenv:/x#Y"}
	if err := verdict([]foundKey{dead, there}, true); err != nil {
		t.Error(err)
	}
	if err := verdict([]foundKey{dead, there}, false); err == nil || err.Error() != "1 key found" {
		t.Error(err)
	}
}

// What cannot be judged may be live.
func TestScan_LiveNeedsARegistry(t *testing.T) {
	a := cmdtest.New(t, "")
	dir, _, _ := plant(t, a)
	if _, _, err := cmdtest.New(t, "").Run(New, "--live", dir); !errors.Is(err, apikey.ErrNoRegistry) {
		t.Errorf("%v", err)
	}
	if _, _, err := cmdtest.New(t, "").Run(New, "--live", t.TempDir()); err != nil {
		t.Errorf("without keys: %v", err)
	}
}

// The repository's hooks for pre-commit have what it requires, and run a command that exists.
func TestPreCommitHooks(t *testing.T) {
	text, err := os.ReadFile("../../.pre-commit-hooks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var hooks []struct {
		ID, Name, Description, Entry, Language string

		PassFilenames *bool `yaml:"pass_filenames"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&hooks); err != nil || len(hooks) != 2 {
		t.Fatalf("%+v, %v", hooks, err)
	}
	for _, h := range hooks {
		args, isScan := strings.CutPrefix(h.Entry, "fob scan ")
		if h.ID == "" || h.Name == "" || h.Language == "" || !isScan || h.PassFilenames == nil || *h.PassFilenames {
			t.Errorf("%+v", h)
		}
		if err := New(cmdtest.New(t, "").App).ParseFlags(strings.Fields(args)); err != nil {
			t.Errorf("%s: %v", h.Entry, err)
		}
	}
}
