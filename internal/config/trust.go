package config

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/sanitize"
)

// trust is what a configuration file may do. The zero value allows everything, for a file
// that only the user can write. In a CI job's workspace, owner and mode prove nothing: a
// file there is as trustworthy as the commit's author, who may have opened a pull request.
type trust struct {
	path      string
	workspace bool   // the file is in a CI job's workspace
	allowed   bool   // FOB_ALLOW_CONFIG_COMMANDS=1: the workflow trusts its checkout
	issuer    string // FOB_ISSUER: the server that the workflow pins
}

// TrustError is a configuration with settings that it is not trusted with.
type TrustError struct {
	Path, Reason, Hint string // inert
}

func (e *TrustError) Error() string { return e.Path + ": " + e.Reason }

func (t trust) refuse(hint, format string, args ...any) error {
	return &TrustError{sanitize.Line(t.path), sanitize.Line(fmt.Sprintf(format, args...)), hint}
}

const maxConfig = 16 << 20

// readTrusted reads a configuration file and determines its trust. It only checks the
// folder that contains it: in sandboxes, those above appear to have another owner.
func readTrusted(path string, getenv func(string) string) ([]byte, trust, error) {
	t := trust{path: path, issuer: getenv("FOB_ISSUER"), allowed: getenv("FOB_ALLOW_CONFIG_COMMANDS") == "1"}
	if InWorkspace(path, getenv) {
		text, err := atomicfile.ReadRegular(path, maxConfig)
		if err == nil {
			t.workspace, err = true, t.checkEvent(getenv, "write the configuration outside of the workspace, in a step of the workflow, and name it in FOB_CONFIG")
		}
		return text, t, err
	}
	text, err := atomicfile.ReadOwn(path, maxConfig)
	missing := errors.Is(err, fs.ErrNotExist) // another user may have deleted it
	if err != nil && !missing {
		return nil, t, err
	}
	target, checkErr := atomicfile.CheckLinks(path) // a link made by another user could name any of this user's files
	for _, dir := range slices.Compact([]string{filepath.Dir(path), filepath.Dir(target)}) {
		folder, statErr := os.Stat(dir)
		if checkErr = cmp.Or(checkErr, statErr); checkErr == nil {
			checkErr = atomicfile.CheckOthers(dir, folder)
		}
	}
	if missing && errors.Is(checkErr, fs.ErrNotExist) {
		return nil, t, err
	}
	return text, t, cmp.Or(checkErr, err)
}

func loadError(err error) error {
	if _, ok := errors.AsType[*atomicfile.OthersError](err); ok {
		return fmt.Errorf("the configuration is refused: %w", err)
	}
	return fmt.Errorf("reading the configuration: %w", err)
}

// checkEvent rejects a workspace file in a GitHub job that has the repository's rights, but
// may have checked out another person's commit.
func (t trust) checkEvent(getenv func(string) string, hint string) error {
	event := getenv("GITHUB_EVENT_NAME")
	switch event {
	case "pull_request_target", "issue_comment", "check_run", "check_suite", "status":
	case "workflow_run":
		if !isFromFork(getenv) {
			return nil
		}
	default:
		return nil
	}
	return t.refuse(hint, "refused: this is a job for the event %s, which has the repository's rights, and the file is in its workspace, which may hold the commit of a fork", event)
}

// isFromFork reports whether a workflow_run event is about another repository's commit. If
// the event does not say, it returns true.
func isFromFork(getenv func(string) string) bool {
	type repository struct {
		Name string `json:"full_name"`
		Fork *bool  `json:"fork"`
	}
	var event struct {
		Own repository `json:"repository"`
		Run struct {
			Head repository `json:"head_repository"`
		} `json:"workflow_run"`
	}
	const maxEvent = 32 << 20 // GitHub's have at most 25 MB
	text, err := atomicfile.ReadRegular(getenv("GITHUB_EVENT_PATH"), maxEvent)
	if err != nil || json.Unmarshal(text, &event) != nil {
		return true
	}
	head, name := event.Run.Head, cmp.Or(event.Own.Name, getenv("GITHUB_REPOSITORY"))
	if head.Name == "" || name == "" {
		return head.Fork == nil || *head.Fork
	}
	return !strings.EqualFold(head.Name, name) // which may be a fork itself
}

// InWorkspace reports whether a path is in the CI job's workspace, or reached through a
// link in it. If the CI system does not name its workspace, that is the repository around
// the working directory, or that directory. If the named folder does not exist (as in a
// container that mounts it elsewhere), every path counts.
func InWorkspace(path string, getenv func(string) string) bool {
	names := []string{"GITHUB_WORKSPACE", "CI_PROJECT_DIR", "BUILD_SOURCESDIRECTORY", "BITBUCKET_CLONE_DIR", "BUILDKITE_BUILD_CHECKOUT_PATH",
		"CODEBUILD_SRC_DIR", "DRONE_WORKSPACE", "CI_WORKSPACE", "TRAVIS_BUILD_DIR", "APPVEYOR_BUILD_FOLDER", "SEMAPHORE_GIT_DIR", "CIRRUS_WORKING_DIR",
		"CIRCLE_WORKING_DIRECTORY", "TEAMCITY_BUILD_CHECKOUTDIR"}
	job := slices.ContainsFunc([]string{"CIRCLECI", "TEAMCITY_VERSION", "JENKINS_URL", "JENKINS_HOME", "BUILD_TAG"}, func(name string) bool { return getenv(name) != "" }) ||
		!slices.Contains([]string{"", "0", "false"}, strings.ToLower(getenv("CI")))
	if job {
		names = append(names, "WORKSPACE") // Jenkins'
	}
	var dirs []string
	for _, name := range names {
		dir := getenv(name)
		if below, ok := strings.CutPrefix(dir, "~/"); ok { // CircleCI does not expand it
			dir = filepath.Join(getenv("HOME"), below)
		}
		if dir != "" {
			dirs = append(dirs, dir)
		}
	}
	if job && len(dirs) == 0 {
		dirs = []string{repository()}
	}
	var roots []fs.FileInfo
	for _, dir := range dirs {
		info, err := os.Stat(dir)
		if err != nil {
			return true
		}
		roots = append(roots, info)
	}
	return len(roots) > 0 && passesThrough(path, roots)
}

// repository returns the nearest repository around the working directory, or that
// directory.
func repository() string {
	dir, _ := os.Getwd() // an error is handled as a missing folder
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil {
			return at
		}
		if at == filepath.Dir(at) {
			return dir
		}
	}
}

// passesThrough reports whether a path is below a root or passes a link that is. If unsure,
// it returns true.
func passesThrough(path string, roots []fs.FileInfo) bool {
	if !filepath.IsAbs(path) {
		dir, err := os.Getwd()
		if err != nil {
			return true
		}
		path = dir + string(filepath.Separator) + path // Join would drop the link of "link/.."
	}
	errInside := errors.New("a link below a root")
	target, err := atomicfile.FollowLinks(path, func(link string, _ fs.FileInfo) error {
		if isBelow(filepath.Dir(link), roots) {
			return errInside
		}
		return nil
	})
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	return isBelow(target, roots)
}

// isBelow compares folders by identity, because a name may have several spellings.
func isBelow(path string, roots []fs.FileInfo) bool {
	for {
		info, err := os.Stat(path)
		if err == nil && slices.ContainsFunc(roots, func(root fs.FileInfo) bool { return os.SameFile(root, info) }) {
			return true
		}
		parent := filepath.Dir(path)
		if parent == path {
			return false
		}
		path = parent
	}
}

const hintAllow = "if every author of what this job checks out may do that, set FOB_ALLOW_CONFIG_COMMANDS=1 in the workflow; otherwise keep the configuration outside of the checkout"

// Vet rejects a profile before anything is read, run or sent for it: if its server is not
// the one in FOB_ISSUER, or, in a CI job's workspace, if no server is pinned or the profile
// has settings that a commit's author must not choose. The profile must not be filled in
// yet.
func (c *Config) Vet(p Profile) error {
	t := c.trust
	if err := c.Unknown(p.Name); err != nil || t.issuer == "" && !t.workspace {
		return err
	}
	server := p.WithProvider().Authority()
	endpoint, setting := p.unpinnedEndpoint(t.issuer), p.untrustedSetting()
	switch {
	case t.issuer == "":
		return t.refuse("pin the issuer in the workflow, as in FOB_ISSUER=https://sso.example.com",
			"profile %q: the file is in the job's workspace, and FOB_ISSUER does not name the issuer that may get the job's credentials", p.Name)
	case server != "" && server != t.issuer: // without a server, nothing can be sent yet
		return t.refuse("correct the profile's issuer; or, if that has moved, FOB_ISSUER in the workflow",
			"profile %q: its issuer is %.200q, and FOB_ISSUER is %.200q; nothing was sent", p.Name, server, t.issuer)
	case endpoint != "":
		return t.refuse("remove the setting: the issuer's metadata name its endpoints", "profile %q: %s is not what FOB_ISSUER pins; nothing was sent", p.Name, endpoint)
	case t.workspace && !t.allowed && setting == "identity":
		setting += fmt.Sprintf(" = %.100q", p.Identity)
		fallthrough
	case t.workspace && !t.allowed && setting != "":
		return t.refuse(hintAllow, "profile %q: a configuration in the workspace of a CI job may not set %s", p.Name, setting)
	}
	return nil
}

// unpinnedEndpoint returns a setting that sends credentials to another server than the
// pinned one.
func (p Profile) unpinnedEndpoint(issuer string) string {
	for _, s := range settingsOf(p) {
		if strings.HasSuffix(s.key, "_endpoint") && s.value != "" && s.value != quoteTOML(issuer) {
			return s.key
		}
	}
	return ""
}

// untrustedSetting returns the first setting that may run a program, read a file or redirect
// secrets. Unknown settings count too.
func (p Profile) untrustedSetting() string {
	if slices.Contains([]string{"github", "gitlab"}, p.Identity) || strings.HasPrefix(p.Identity, "env:") {
		p.Identity = ""
	}
	if p.ShowsJWT() {
		p.SubjectTokenType = ""
	}
	return otherSetting(p, "provider", "issuer", "client_id", "scopes", "redirect_uri", "storage", "grant", "resources", "authorization_details", "dpop", "audience", "identity_audience",
		"authorization_endpoint", "token_endpoint", "revocation_endpoint", "userinfo_endpoint", "device_authorization_endpoint", // see unpinnedEndpoint
		"token_endpoint_auth_method", "client_assertion_audience", "git_username", "docker_username", "kubernetes_servers")
}

// untrustedSetting is the same for settings outside of profiles.
func (c *Config) untrustedSetting() string {
	key := cmp.Or(otherSetting(*c, "default", "storage", "keys", "serve", "profile", "secret"),
		otherSetting(c.Keys, "brand", "environments", "pepper_storage", "require_pepper"), otherSetting(c.Serve, "rule", "headers"))
	for _, name := range c.SecretNames() {
		key = cmp.Or(key, otherSetting(c.Secrets[name], "storage", "expires"))
	}
	return key
}

// otherSetting returns the first setting of a table that is not in the list of harmless
// ones.
func otherSetting(table any, harmless ...string) string {
	for field, value := range reflect.ValueOf(table).Fields() {
		key := field.Tag.Get("toml")
		if key != "-" && !value.IsZero() && !slices.Contains(harmless, key) {
			return key
		}
	}
	return ""
}
