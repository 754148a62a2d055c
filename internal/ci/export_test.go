package ci

import (
	"errors"
	"strings"
	"testing"

	"github.com/fobcli/fob/internal/secret"
)

// readGitHubFile reads the file of GITHUB_ENV as the runner does: NAME<<DELIMITER, lines,
// DELIMITER.
func readGitHubFile(t *testing.T, text string) map[string]string {
	t.Helper()
	got := map[string]string{}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for len(lines) > 0 {
		name, delimiter, found := strings.Cut(lines[0], "<<")
		if !found {
			t.Fatalf("the runner would refuse %q", lines[0])
		}
		end := 1
		for end < len(lines) && lines[end] != delimiter {
			end++
		}
		if end == len(lines) {
			t.Fatalf("%s has no end", name)
		}
		got[name] = strings.Join(lines[1:end], "\n")
		lines = lines[end+1:]
	}
	return got
}

func FuzzH64NoValueIsReadAsAnotherVariable(f *testing.F) {
	for _, seed := range []string{"", "a", "\n", "a\n", "\r\n", "B<<EOF\nx\nEOF", "fob-\nPATH=/evil", "a\nA<<b\n"} {
		f.Add(seed, "plain")
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		variables := []Variable{{"A", secret.New(first)}, {"B", secret.New(second)}}
		if text, err := GitHubFile(variables); err == nil {
			if got := readGitHubFile(t, text); len(got) != 2 || got["A"] != first || got["B"] != second {
				t.Errorf("%q and %q are read as %q", first, second, got)
			}
		}
		text, err := GitLabReport(variables)
		if err == nil && (strings.Count(text, "\n") != 2 || text != "A="+first+"\nB="+second+"\n") {
			t.Errorf("%q and %q make a report of %q", first, second, text)
		}
	})
}

func TestH64DelimitersAreNotRepeated(t *testing.T) {
	variables := []Variable{{"A", secret.New("x")}}
	first, _ := GitHubFile(variables)
	second, _ := GitHubFile(variables)
	if first == second || len(first) < len("A<<fob-")+26 {
		t.Errorf("the delimiter can be guessed: %q, %q", first, second)
	}
}

func TestValuesThatCannotBeHandedOn(t *testing.T) {
	write := map[string]func([]Variable) (string, error){"GitHub": GitHubFile, "GitLab": GitLabReport}
	for value, system := range map[string]string{
		"canary\x00": "GitHub", "canary\xff": "GitHub", "\x00canary": "GitLab", "canary\xff ": "GitLab", "canary\nB=1": "GitLab", "canary\rB=1": "GitLab",
		" canary": "GitLab", "canary\t": "GitLab", "canary$HOME": "GitLab", "canary\u2028B=1": "GitLab", "canary\u0085": "GitLab", strings.Repeat("canary", 1000): "GitLab",
	} {
		text, err := write[system]([]Variable{{"A", secret.New("good")}, {"B", secret.New(value)}})
		if text != "" || !errors.Is(err, ErrValue) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s, %.20q: %q, %v", system, value, text, err)
		}
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"API_TOKEN", "GH_TOKEN", "GITLAB_TOKEN", "DATABASE_URL", "PATHS", "GIT_PASSWORD", "FOB_TOKEN_WORK", "CIRCLE"} {
		if err := CheckName(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
