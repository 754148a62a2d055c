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

// Why a variable is not exported.
var (
	ErrName  = errors.New("a variable of that name could change what later steps run")
	ErrValue = errors.New("the value cannot be handed on")
)

// Variable is exported to later steps of a job.
type Variable struct {
	Name  string
	Value secret.Secret
}

// Names that shells, loaders, interpreters, build tools, clients and the CI system itself
// use. The list cannot be complete: a program may use any name.
var (
	reservedNames = []string{
		"PATH", "PATHEXT", "HOME", "PWD", "OLDPWD", "SHELL", "COMSPEC", "ENV", "BASH_ENV", "BASHOPTS", "SHELLOPTS", "IFS", "PS1", "PS4", "GLOBIGNORE", "EXECIGNORE",
		"PROMPT_COMMAND", "ZDOTDIR", "INPUTRC", "HISTFILE", "BASH_XTRACEFD", "TMPDIR", "TEMP", "TMP", "BROWSER", "LESS", "LESSOPEN", "LESSCLOSE", "HOSTALIASES", "LOCALDOMAIN",
		"RESOLV_HOST_CONF", "TERMINFO", "TERMINFO_DIRS", "TERMCAP", "DISPLAY", "XAUTHORITY", "VIMINIT", "EXINIT", "GZIP", "XZ_OPT", "XZ_DEFAULTS", "RSYNC_RSH", "RSYNC_CONNECT_PROG",
		"CVS_RSH", "SVN_SSH", "WGETRC", "SYSTEM_WGETRC", "NETRC", "SSLKEYLOGFILE", "SSH_AUTH_SOCK", "GNUPGHOME", "KUBECONFIG", "KUBERC", "APT_CONFIG",
		"SYSTEMROOT", "WINDIR", "APPDATA", "LOCALAPPDATA", "USERPROFILE", "PROGRAMDATA", "PROGRAMFILES", "__COMPAT_LAYER", "CL", "_CL_", "LINK", "_LINK_", "LIB", "INCLUDE",
		"CC", "CXX", "CPP", "AR", "AS", "LD", "NM", "MAKE", "MAKEFILES", "CONFIG_SITE", "GCCGO", "RUBYLIB", "RUBYOPT", "PERLLIB", "PERLDB", "PHPRC", "GHCRTS", "VIRTUAL_ENV",
		"GOENV", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOSUMCHECK", "GOPRIVATE", "GONOPROXY", "GOINSECURE", "GOROOT", "GOBIN", "GOTOOLCHAIN", "GOMODCACHE", "GOCACHE", "GOCACHEPROG",
		"GOAUTH", "GOVCS", "GOWORK", "GOEXPERIMENT", "GODEBUG", "GO111MODULE", "MAVEN_ARGS", "MAVEN_CONFIG", "ANT_ARGS", "TWINE_REPOSITORY", "TWINE_REPOSITORY_URL", "TWINE_CERT",
		"AWS_PROFILE", "GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "PSQLRC", "PGHOST", "PGSERVICEFILE", "PGSYSCONFDIR", "PGPASSFILE", "PGSSLROOTCERT", "ODBCINI", "TNS_ADMIN", "CYPRESS_INSTALL_BINARY",
		"DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_CONTENT_TRUST", "DOCKER_CONTENT_TRUST_SERVER", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "CONTAINER_HOST",
		"VAULT_ADDR", "VAULT_AGENT_ADDR", "VAULT_PROXY_ADDR", "VAULT_CACERT", "VAULT_SKIP_VERIFY", "CI", "GITLAB_CI", "TF_BUILD",
	}
	reservedPrefixes = []string{
		"LD_", "DYLD_", "BASH_FUNC_", "GLIBC_", "MALLOC_", "XDG_", "DBUS_", "GITHUB_", "RUNNER_", "ACTIONS_", "INPUT_", "STATE_", "CI_", "SYSTEM_", "FOB_", "NPM_CONFIG_", "BUNDLE_",
		"GIT_CONFIG", "COR_", "CORECLR_", "SUDO_", "SSH_ASKPASS", "SSH_SK_", "SSH_PKCS11_", "SSL_CERT_", "TF_CLI_", "AWS_ENDPOINT_URL", "AWS_CONTAINER_", "AWS_EC2_METADATA_",
	}
	toolPrefixes = []string{ // of tools that also read credentials from variables
		"GIT_", "PYTHON", "PYTEST_", "PIP_", "PIPENV_", "UV_", "CONDA_", "POETRY_REPOSITORIES_", "PERL5", "PERL_", "LUA_", "NODE_", "DENO_", "BUN_", "YARN_", "PNPM_", "COREPACK_",
		"NVM_", "VOLTA_", "ELECTRON_", "PLAYWRIGHT_", "PUPPETEER_", "TURBO_", "TS_NODE_", "RUST", "CARGO", "CGO_", "CMAKE_", "CCACHE_", "SCCACHE_", "PKG_CONFIG", "GCC_", "DOTNET_",
		"NUGET_", "MSBUILD", "COMPOSER_", "PHP_", "GEM_", "R_", "JULIA_", "ERL_", "ELIXIR_", "MIX_", "HEX_", "CABAL_", "STACK_", "OPAM", "OCAML", "JAVA_", "JDK_", "GRADLE_HOME",
		"CURL_", "OPENSSL_", "GNUTLS_", "BUILDKIT_", "BUILDX_", "COMPOSE_", "CONTAINERS_", "HELM_", "KUBECTL_", "ANSIBLE_", "TERRAGRUNT_", "PULUMI_", "CLOUDSDK_", "HOMEBREW_", "NIX_",
		"CIRCLE_", "TRAVIS_", "BUILDKITE_", "BITBUCKET_", "TEAMCITY_", "JENKINS_", "AGENT_", "BUILD_",
	}
	reservedSuffixes = []string{
		"PATH", "_HOME", "_DIR", "_FILE", "FLAGS", "_OPTS", "_OPTIONS", "_PROXY", "_CA_BUNDLE", "_CA_CERTS", "_WRAPPER", "PAGER", "EDITOR", "VISUAL", "_ASKPASS", "_SHELL", "_PRELOAD",
	}
	credentialSuffixes = []string{"_TOKEN", "_PASSWORD", "_USERNAME", "_API_KEY", "_AUTH"}
	fobCredentials     = []string{"FOB_TOKEN", "FOB_REFRESH_TOKEN_", "FOB_SECRET_"}
)

// CheckName rejects names that are known to change which programs later steps run, or which
// servers they trust. Windows and npm ignore case.
func CheckName(name string) error {
	name = strings.ToUpper(name)
	begins := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
	ends := func(suffix string) bool { return strings.HasSuffix(name, suffix) }
	switch {
	case slices.ContainsFunc(fobCredentials, begins):
		return nil
	case slices.Contains(reservedNames, name), slices.ContainsFunc(reservedPrefixes, begins), slices.ContainsFunc(reservedSuffixes, ends),
		slices.ContainsFunc(toolPrefixes, begins) && !slices.ContainsFunc(credentialSuffixes, ends):
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

// GitHubFile returns lines for the file GITHUB_ENV or GITHUB_OUTPUT. The delimiters are
// random, so that no value can contain one.
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

// MaxGitLabReport is the size in bytes that a dotenv report must not reach.
const MaxGitLabReport = 5 << 10

// GitLabReport returns a dotenv report with what the job has written to it before, except for
// variables of the same names. GitLab takes lines literally: there are no quotes, surrounding
// spaces are removed, and its runner expands $NAME.
func GitLabReport(before string, variables []Variable) (string, error) {
	var b strings.Builder
	for line := range strings.Lines(before) {
		if !slices.ContainsFunc(variables, func(v Variable) bool { return strings.HasPrefix(line, v.Name+"=") }) {
			b.WriteString(strings.TrimSuffix(line, "\n") + "\n")
		}
	}
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
	if b.Len() >= MaxGitLabReport {
		return "", fmt.Errorf("%w: a dotenv report has less than %d bytes", ErrValue, MaxGitLabReport)
	}
	return b.String(), nil
}

// isLineBreak reports whether Ruby or a shell may treat a character as the end of a line.
func isLineBreak(r rune) bool {
	return r == '\n' || r == '\r' || r == '\v' || r == '\f' || r == 0x85 || r == 0x2028 || r == 0x2029
}

// MaskCommand returns the line that makes the job's log hide a token, on either stream of
// the step: GitHub's and Azure's runners process it and do not show it. Other systems such
// as GitLab only mask what is configured in advance.
func MaskCommand(getenv func(string) string, token secret.Secret) (line string, known bool) {
	switch {
	case token.IsZero():
		return "", false
	case getenv("GITHUB_ACTIONS") == "true":
		return GitHubMask(token.Reveal()), true
	case strings.EqualFold(getenv("TF_BUILD"), "true"): // Azure sets True
		return "##vso[task.setsecret]" + escapeCommand(token.Reveal(), "%AZP25"), true
	}
	return "", false
}

// GitHubMask returns the workflow command that makes GitHub's runner hide a text in the
// log.
func GitHubMask(text string) string { return "::add-mask::" + escapeCommand(text, "%25") }

// escapeCommand escapes text for a runner's command: a line break would end the command.
func escapeCommand(text, percent string) string {
	return strings.NewReplacer("%", percent, "\r", "%0D", "\n", "%0A").Replace(text)
}
