package config

import (
	"errors"
	"strings"
)

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
