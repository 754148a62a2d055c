package ci

import (
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/fobcli/fob/internal/secret"
)

// Why a variable is not handed on.
var (
	ErrName  = errors.New("a variable of that name would change what later steps run")
	ErrValue = errors.New("the value cannot be handed on")
)

// Variable is what later steps of a job get.
type Variable struct {
	Name  string
	Value secret.Secret
}

// Names and beginnings of names that shells, loaders, interpreters, tools and the CI
// system itself act on.
var (
	actedOn = []string{
		"PATH", "PATHEXT", "HOME", "SHELL", "COMSPEC", "ENV", "BASH_ENV", "BASHOPTS", "SHELLOPTS", "IFS", "PS4", "CDPATH", "GLOBIGNORE", "PROMPT_COMMAND", "ZDOTDIR",
		"TMPDIR", "TEMP", "TMP", "EDITOR", "VISUAL", "PAGER", "BROWSER", "LESSOPEN", "LESSCLOSE", "GCONV_PATH", "LOCPATH", "NLSPATH", "HOSTALIASES",
		"NODE_OPTIONS", "NODE_PATH", "NODE_EXTRA_CA_CERTS", "NODE_TLS_REJECT_UNAUTHORIZED", "PERLLIB", "RUBYOPT", "RUBYLIB", "CLASSPATH",
		"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "MAVEN_OPTS", "GRADLE_OPTS", "DOTNET_STARTUP_HOOKS", "PSMODULEPATH",
		"MAKEFLAGS", "CC", "CXX", "GOFLAGS", "GOPROXY", "GONOSUMDB", "GOROOT", "GOTOOLCHAIN", "RUSTC_WRAPPER", "CARGO_HOME",
		"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "DOCKER_HOST",
		"GIT_SSH", "GIT_SSH_COMMAND", "GIT_ASKPASS", "SSH_ASKPASS", "GIT_EXEC_PATH", "GIT_PROXY_COMMAND", "GIT_EDITOR", "GIT_SEQUENCE_EDITOR", "GIT_PAGER",
		"GIT_EXTERNAL_DIFF", "GIT_TEMPLATE_DIR", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
		"CI", "GITLAB_CI", "TF_BUILD", "FOB_CONFIG", "FOB_HOME", "FOB_STORAGE", "FOB_REGISTRY",
	}
	actedOnBeginnings = []string{"LD_", "DYLD_", "BASH_FUNC_", "GITHUB_", "RUNNER_", "ACTIONS_", "CI_", "GIT_CONFIG", "PYTHON", "PERL5", "BUNDLE_", "COR_", "CORECLR_"}
)

// CheckName refuses a name by which a value could change what later steps run. Windows
// knows no capitals.
func CheckName(name string) error {
	name = strings.ToUpper(name)
	if slices.Contains(actedOn, name) || slices.ContainsFunc(actedOnBeginnings, func(beginning string) bool { return strings.HasPrefix(name, beginning) }) {
		return ErrName
	}
	return nil
}

func checkText(v Variable) error {
	switch text := v.Value.Reveal(); {
	case strings.ContainsRune(text, 0):
		return fmt.Errorf("%s: %w: there is a NUL in it", v.Name, ErrValue)
	case !utf8.ValidString(text):
		return fmt.Errorf("%s: %w: it is not UTF-8", v.Name, ErrValue)
	}
	return nil
}

// GitHubFile is what the file of GITHUB_ENV or GITHUB_OUTPUT takes. No value ends early:
// the delimiters are random.
func GitHubFile(variables []Variable) (string, error) {
	var b strings.Builder
	for _, v := range variables {
		if err := checkText(v); err != nil {
			return "", err
		}
		text, delimiter := v.Value.Reveal(), "fob-"+rand.Text()
		if text != "" {
			text += "\n"
		}
		fmt.Fprintf(&b, "%s<<%s\n%s%s\n", v.Name, delimiter, text, delimiter)
	}
	return b.String(), nil
}

// maxGitLabReport is what GitLab takes, in bytes.
const maxGitLabReport = 5 << 10

// GitLabReport is a dotenv report. GitLab takes lines as they are: it knows no quotes,
// cuts blanks off, and its runner puts variables in the place of $NAME.
func GitLabReport(variables []Variable) (string, error) {
	var b strings.Builder
	for _, v := range variables {
		if err := checkText(v); err != nil {
			return "", err
		}
		switch text := v.Value.Reveal(); {
		case strings.ContainsFunc(text, isLineBreak):
			return "", fmt.Errorf("%s: %w: it has several lines", v.Name, ErrValue)
		case text != strings.TrimSpace(text):
			return "", fmt.Errorf("%s: %w: GitLab would cut off its blanks", v.Name, ErrValue)
		case strings.Contains(text, "$"):
			return "", fmt.Errorf("%s: %w: GitLab would look for variables in it ($)", v.Name, ErrValue)
		}
		fmt.Fprintf(&b, "%s=%s\n", v.Name, v.Value.Reveal())
	}
	if b.Len() >= maxGitLabReport {
		return "", fmt.Errorf("%w: a dotenv report has less than %d bytes", ErrValue, maxGitLabReport)
	}
	return b.String(), nil
}

// isLineBreak knows what Ruby or a shell may take for the end of a line.
func isLineBreak(r rune) bool {
	return r == '\n' || r == '\r' || r == '\v' || r == '\f' || r == 0x85 || r == 0x2028 || r == 0x2029
}
