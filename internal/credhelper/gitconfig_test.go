package credhelper

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// newGit returns a user's empty configuration of git, and what prints an entry of it.
func newGit(t *testing.T) (g *GitConfig, get func(key string) string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	g = &GitConfig{Environ: append(os.Environ(), "GIT_CONFIG_GLOBAL="+file, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_COUNT=0")}
	return g, func(key string) string {
		t.Helper()
		values, err := g.values(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(values, "\n")
	}
}

func places(t *testing.T, urls ...string) (rules []Rule) {
	t.Helper()
	for _, url := range urls {
		place, err := ParsePlace(url)
		if err != nil {
			t.Fatal(err)
		}
		rules = append(rules, Rule{Place: place})
	}
	return rules
}

func TestGitConfig_InstallAndUninstall(t *testing.T) {
	g, get := newGit(t)
	const host, team = "credential.https://git.example.com", "credential.https://git.example.com/team"
	rules := places(t, "https://git.example.com", "https://git.example.com/team")
	if err := g.change(t.Context(), "--add", host+".helper", "/bin/other"); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name, fob, profile string
		changes            int
		helpers            string
	}{
		{"first", "/bin/fob", "", 3, "/bin/other\n!'/bin/fob' helper git"},
		{"again", "/bin/fob", "", 0, "/bin/other\n!'/bin/fob' helper git"},
		{"for a profile", "/bin/fob", "work", 4, "/bin/other\n!'/bin/fob' helper git --profile work"},
		{"fob has moved", "/opt/it's/fob", "", 4, "/bin/other\n!'/opt/it'\\''s/fob' helper git"},
	} {
		g.Changes = 0
		if err := g.Install(t.Context(), rules, step.fob, step.profile); err != nil {
			t.Fatal(step.name, err)
		}
		if got := get(host + ".helper"); got != step.helpers || g.Changes != step.changes {
			t.Errorf("%s: %q after %d changes, not %q after %d", step.name, got, g.Changes, step.helpers, step.changes)
		}
		if host, team := get(host+".useHttpPath"), get(team+".useHttpPath"); host != "" || team != "true" {
			t.Errorf("%s: useHttpPath is %q for the host and %q for a part of it", step.name, host, team)
		}
	}
	for _, changes := range []int{3, 0} {
		g.Changes = 0
		if err := g.Uninstall(t.Context()); err != nil || g.Changes != changes {
			t.Errorf("%d changes, not %d: %v", g.Changes, changes, err)
		}
	}
	if other, path := get(host+".helper"), get(team+".useHttpPath"); other != "/bin/other" || path != "" || get(team+".helper") != "" {
		t.Errorf("%q and %q are left", other, path)
	}
}

// git asks every helper of a host in turn: a second profile would be installed, and not used.
func TestGitConfig_OneProfileOfAHost(t *testing.T) {
	g, get := newGit(t)
	t.Chdir(t.TempDir())
	if _, err := g.git(t.Context(), []string{"init", "-q"}); err != nil {
		t.Fatal(err)
	}
	const host, other = "https://git.example.com", "https://other.example.com"
	for _, step := range []struct {
		profile, url string
		local        bool
		used         string
	}{
		{"work", host, false, ""},
		{"work", host, false, ""},
		{"home", other, false, ""},
		{"home", host, false, "work --global"},
		{"home", host, true, "work --global"},
		{"work", host, true, ""},
		{"work", other, true, "home --global"},
		{"", host, false, ""},
		{"home", host, true, "work --local"},
	} {
		g.Local, g.Changes = step.local, 0
		err := g.Install(t.Context(), places(t, "https://new.example.com", step.url), "/bin/fob", step.profile)
		var used *UsedError
		switch {
		case step.used == "" && err != nil:
			t.Errorf("%+v: %v", step, err)
		case step.used == "":
		case !errors.As(err, &used) || used.Profile+" "+used.Scope != step.used || used.Place.String() != step.url || g.Changes > 0:
			t.Errorf("%+v: %v after %d changes", step, err, g.Changes)
		}
		if step.used == "" { // for the next step
			g.Local = step.local
			if err := g.change(t.Context(), "--unset-all", "credential.https://new.example.com.helper"); err != nil {
				t.Fatal(err)
			}
		}
	}
	g.Local = false
	if got := get("credential." + host + ".helper"); got != "!'/bin/fob' helper git" {
		t.Errorf("%q", got)
	}
}

func TestGitConfig_DryRunChangesNothing(t *testing.T) {
	g, get := newGit(t)
	var lines []string
	g.DryRun = func(args []string) error {
		lines = append(lines, strings.Join(args, " "))
		return nil
	}
	if err := g.Install(t.Context(), places(t, "https://git.example.com:8443/team"), "/bin/fob", ""); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"config --global --add credential.https://git.example.com:8443/team.helper !'/bin/fob' helper git",
		"config --global credential.https://git.example.com:8443/team.useHttpPath true",
	}
	if !slices.Equal(lines, want) || g.Changes != 2 {
		t.Errorf("%d changes: %q", g.Changes, lines)
	}
	if helper := get("credential.https://git.example.com:8443/team.helper"); helper != "" {
		t.Errorf("%q is installed", helper)
	}
}

func TestGitConfig_Local(t *testing.T) {
	g, _ := newGit(t)
	t.Chdir(t.TempDir())
	g.Local = true
	var exit *exec.ExitError
	if err := g.Install(t.Context(), places(t, "https://git.example.com"), "/bin/fob", ""); !errors.As(err, &exit) {
		t.Errorf("outside of a repository: %v", err)
	}
	if _, err := g.git(t.Context(), []string{"init", "-q"}); err != nil {
		t.Fatal(err)
	}
	if err := g.Install(t.Context(), places(t, "https://git.example.com"), "/bin/fob", ""); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(".git/config"); err != nil || !strings.Contains(string(text), "/bin/fob") {
		t.Errorf("%s, %v", text, err)
	}
}

func TestGitConfig_OtherHelpers(t *testing.T) {
	g, _ := newGit(t)
	for _, helper := range []string{"store", "", "!echo"} {
		if err := g.change(t.Context(), "--add", "credential.helper", helper); err != nil {
			t.Fatal(err)
		}
	}
	if others, err := g.OtherHelpers(t.Context()); err != nil || !slices.Equal(others, []string{"store", "!echo"}) {
		t.Errorf("%q, %v", others, err)
	}
}

func TestGitConfig_ReportsTheFirstLineOfGit(t *testing.T) {
	g, _ := newGit(t)
	broken := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(broken, []byte("[broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.Environ = append(g.Environ, "GIT_CONFIG_GLOBAL="+broken)
	if err := g.Uninstall(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "git config: ") || strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
	t.Setenv("PATH", t.TempDir())
	if err := g.Uninstall(t.Context()); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("without git: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Uninstall(ctx); err == nil {
		t.Error("it was cancelled, and returns no error")
	}
}

func TestOwnHelper(t *testing.T) {
	for value, want := range map[string]bool{
		"!'/usr/bin/fob' helper git":                        true,
		"!'/opt/it'\\''s/fob' helper git":                   true,
		"!'/usr/bin/fob' helper git --profile work-2":       true,
		"!'/usr/bin/fob' helper git --profile ":             false,
		"!'/usr/bin/fob' helper git --profile work; id":     false,
		"!'/usr/bin/fob' helper git --verbose":              false,
		"!'' helper git":                                    false,
		"'/usr/bin/fob' helper git":                         false,
		"!/usr/bin/fob helper git":                          false,
		"!'/usr/bin/fob' helper git && '/bin/x' helper git": false,
		"store": false, "": false,
	} {
		if _, got := ownHelper(value); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
}
