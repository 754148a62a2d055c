package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// Destination is the table [destination]: how this machine delivers credentials.
type Destination struct {
	As          map[string]string `toml:"as" doc:"the credential for a platform, by its name: token/PROFILE or secret/NAME"`
	URL         map[string]string `toml:"url" doc:"the address of a self-hosted platform, by its name"`
	DotenvRoots []string          `toml:"dotenv_roots" doc:"folders below which destinations in a registry may write .env files" default:"the working directory"`
}

// checkMachine rejects commands without a name or a program's path, and folders that depend
// on the working directory, before they are used.
func (c *Config) checkMachine() error {
	for name, argv := range c.Commands {
		if err := CheckName(name); err != nil {
			return fmt.Errorf("[commands]: %w", err)
		}
		if len(argv) == 0 || argv[0] == "" {
			return fmt.Errorf("[commands]: %s names no program", name)
		}
	}
	for _, root := range c.Destination.DotenvRoots {
		if !filepath.IsAbs(root) {
			return fmt.Errorf("[destination]: dotenv_roots contains %.80q, which is not an absolute path", root)
		}
	}
	for folder, references := range c.EnvFiles {
		if !filepath.IsAbs(folder) {
			return fmt.Errorf("[env_files]: %.80q is not an absolute path", folder)
		}
		for _, reference := range references {
			if err := CheckReference(reference); err != nil {
				return fmt.Errorf("[env_files]: %.80q: %w", reference, err)
			}
		}
	}
	return nil
}

// Prefixes of references to credentials.
const (
	TokenPrefix  = "token/"
	SecretPrefix = "secret/"
)

// CheckReference rejects invalid references. It does not check whether the target exists.
func CheckReference(text string) error {
	if profile, isToken := strings.CutPrefix(text, TokenPrefix); isToken {
		return CheckName(profile)
	}
	if name, isSecret := strings.CutPrefix(text, SecretPrefix); isSecret {
		return CheckSecretName(name)
	}
	return errors.New("a reference is token/PROFILE or secret/NAME")
}

// VetEnvFile reports whether an env file is in the workspace of a CI job, where the
// commit's author controls it. There, it may only refer to credentials if the workflow
// trusts its checkout, and the user's approvals do not apply.
func VetEnvFile(path string, getenv func(string) string) (inWorkspace bool, err error) {
	if !InWorkspace(path, getenv) {
		return false, nil
	}
	t := trust{path: path, workspace: true, allowed: getenv("FOB_ALLOW_CONFIG_COMMANDS") == "1"}
	if err := t.checkEvent(getenv, "give the references in the workflow, by --env NAME=secret/NAME"); err != nil {
		return true, err
	}
	if !t.allowed {
		return true, t.refuse("if every author of what this job checks out may use them, set FOB_ALLOW_CONFIG_COMMANDS=1 in the workflow; otherwise give them by --env",
			"a file in the workspace of a CI job may not refer to credentials")
	}
	return true, nil
}
