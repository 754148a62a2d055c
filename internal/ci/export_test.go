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
		text, err := GitLabReport("", variables)
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
	write := map[string]func([]Variable) (string, error){"GitHub": GitHubFile, "GitLab": func(variables []Variable) (string, error) { return GitLabReport("", variables) }}
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
	for _, name := range strings.Fields(`API_TOKEN GH_TOKEN GITLAB_TOKEN DATABASE_URL PATHS GIT_PASSWORD FOB_TOKEN_WORK FOB_TOKEN FOB_SECRET_DB CIRCLE NODE_AUTH_TOKEN NPM_TOKEN
		CARGO_REGISTRY_TOKEN CARGO_REGISTRIES_MINE_TOKEN TWINE_PASSWORD TWINE_USERNAME UV_PUBLISH_TOKEN POETRY_PYPI_TOKEN_PYPI GEM_HOST_API_KEY RUBYGEMS_API_KEY NUGET_API_KEY
		MAVEN_GPG_PASSPHRASE DOCKER_PASSWORD DOCKER_AUTH_CONFIG DOCKER_USER AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN ARM_CLIENT_SECRET GOOGLE_CREDENTIALS
		VAULT_TOKEN TF_VAR_db_password TF_TOKEN_app_terraform_io KUBE_CONFIG PGPASSWORD STRIPE_KEY SENTRY_AUTH_TOKEN CODECOV_TOKEN SONAR_TOKEN TURBO_TOKEN HOMEBREW_GITHUB_API_TOKEN
		COMPOSER_AUTH CLOUDFLARE_API_TOKEN OPENAI_API_KEY SSH_PRIVATE_KEY`) {
		if err := CheckName(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestI81_NamesThatProgramsObeyAreRefused(t *testing.T) {
	for _, name := range strings.Fields(`
		PATH Path path HOME ENV BASH_ENV PROMPT_COMMAND SHELLOPTS PS4 IFS CDPATH ZDOTDIR BASH_FUNC_ls%% LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT DYLD_INSERT_LIBRARIES GCONV_PATH GLIBC_TUNABLES
		TMPDIR XDG_CONFIG_HOME XDG_DATA_DIRS XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS EDITOR VISUAL PAGER MANPAGER SYSTEMD_PAGER SUDO_EDITOR BROWSER LESSOPEN MAKEFLAGS GNUMAKEFLAGS CFLAGS
		npm_config_registry NPM_CONFIG_REGISTRY Npm_Config_Script_Shell npm_config_node_options NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS NODE_TLS_REJECT_UNAUTHORIZED YARN_RC_FILENAME
		PIP_INDEX_URL PIP_CONFIG_FILE PIP_REQUIRE_VIRTUALENV PYTHONPATH PYTHONSTARTUP PYTHONHOME PYTHONWARNINGS PYTEST_ADDOPTS VIRTUAL_ENV UV_INDEX_URL CONDA_PREFIX TWINE_REPOSITORY_URL MYPYPATH
		RUSTFLAGS RUSTC RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER RUSTUP_TOOLCHAIN RUSTDOCFLAGS CARGO_HOME CARGO_BUILD_RUSTC CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER CARGO_REGISTRIES_MINE_INDEX
		GOENV GOFLAGS GOPROXY GOSUMDB GONOSUMDB GOPRIVATE GOINSECURE GOPATH GOROOT GOBIN GOTOOLCHAIN GOAUTH GOCACHEPROG GODEBUG GOWORK CGO_CFLAGS CGO_LDFLAGS CC CXX PKG_CONFIG CMAKE_TOOLCHAIN_FILE
		LUA_INIT LUA_INIT_5_4 LUA_PATH LUA_CPATH PERL5OPT PERL5LIB PERLLIB RUBYOPT RUBYLIB GEM_PATH BUNDLE_GEMFILE PHPRC PHP_INI_SCAN_DIR COMPOSER_HOME R_PROFILE R_LIBS JULIA_LOAD_PATH ERL_FLAGS
		JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS JAVA_HOME CLASSPATH MAVEN_OPTS MAVEN_ARGS GRADLE_OPTS GRADLE_USER_HOME SBT_OPTS ANT_OPTS DOTNET_STARTUP_HOOKS DOTNET_ROOT NUGET_PACKAGES
		COR_PROFILER CORECLR_PROFILER_PATH PSModulePath PATHEXT COMSPEC CL _LINK_
		GIT_SSL_NO_VERIFY GIT_SSL_CAINFO GIT_SSL_CERT GIT_SSH GIT_SSH_COMMAND GIT_ASKPASS GIT_CONFIG_COUNT GIT_CONFIG_KEY_0 GIT_CONFIG_GLOBAL GIT_CONFIG_PARAMETERS GIT_DIR GIT_EXEC_PATH GIT_PROXY_COMMAND
		GIT_TRACE_CURL GIT_EXTERNAL_DIFF GIT_TEMPLATE_DIR GIT_ALLOW_PROTOCOL GIT_EDITOR GIT_PAGER GIT_HTTP_LOW_SPEED_LIMIT SSH_ASKPASS SSH_ASKPASS_REQUIRE SSH_SK_PROVIDER SSH_AUTH_SOCK GNUPGHOME
		HTTP_PROXY https_proxy ALL_PROXY NO_PROXY ftp_proxy RSYNC_PROXY SSL_CERT_FILE SSL_CERT_DIR SSLKEYLOGFILE CURL_CA_BUNDLE CURL_HOME REQUESTS_CA_BUNDLE AWS_CA_BUNDLE OPENSSL_CONF OPENSSL_MODULES WGETRC
		KUBECONFIG KUBE_EDITOR KUBECTL_EXTERNAL_DIFF HELM_PLUGINS DOCKER_HOST DOCKER_CONFIG DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH BUILDX_CONFIG COMPOSE_FILE AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE
		AWS_PROFILE AWS_ENDPOINT_URL AWS_ENDPOINT_URL_S3 AWS_WEB_IDENTITY_TOKEN_FILE CLOUDSDK_PYTHON TF_CLI_ARGS TF_CLI_CONFIG_FILE TF_PLUGIN_CACHE_DIR ANSIBLE_CONFIG ANSIBLE_VAULT_PASSWORD_FILE VAULT_ADDR
		PGSERVICEFILE PGSYSCONFDIR PSQLRC HOMEBREW_EVAL_ALL NIX_PATH TAR_OPTIONS GZIP
		GITHUB_ENV GITHUB_PATH GITHUB_TOKEN GITHUB_OUTPUT RUNNER_TEMP ACTIONS_RUNTIME_TOKEN ACTIONS_ID_TOKEN_REQUEST_TOKEN INPUT_SCRIPT STATE_CLEANUP CI CI_JOB_TOKEN CI_SERVER_URL GITLAB_CI TF_BUILD SYSTEM_ACCESSTOKEN
		FOB_CONFIG FOB_HOME FOB_STORAGE FOB_REGISTRY FOB_AGENT FOB_PROFILE FOB_ISSUER FOB_SEAL_KEY FOB_PASSPHRASE_FILE FOB_ALLOW_CONFIG_COMMANDS FOB_ID_TOKEN fob_config`) {
		if err := CheckName(name); !errors.Is(err, ErrName) {
			t.Errorf("%s may be handed on: %v", name, err)
		}
		if err := CheckName(strings.ToLower(name)); !errors.Is(err, ErrName) {
			t.Errorf("%s may be handed on in lower case: %v", name, err)
		}
	}
}

func TestGitLabReport_AppendsToWhatTheJobWrote(t *testing.T) {
	variables := []Variable{{"A", secret.New("new")}, {"B", secret.New("2")}}
	for before, want := range map[string]string{
		"":                         "A=new\nB=2\n",
		"VERSION=1\n":              "VERSION=1\nA=new\nB=2\n",
		"A=old\r\nAA=1\nVERSION=1": "AA=1\nVERSION=1\nA=new\nB=2\n",
	} {
		if got, err := GitLabReport(before, variables); err != nil || got != want {
			t.Errorf("%q: %q, %v", before, got, err)
		}
	}
	if _, err := GitLabReport(strings.Repeat("X=1\n", MaxGitLabReport/4), variables); !errors.Is(err, ErrValue) {
		t.Errorf("a report that is full: %v", err)
	}
}
