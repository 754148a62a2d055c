package app

import (
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/fobcli/fob/internal/ci"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/process"
)

// variableName normalizes a name: Windows ignores its case.
func variableName(name string) string {
	if runtime.GOOS == "windows" {
		return strings.ToUpper(name)
	}
	return name
}

// TakeEnviron reads the environment, and removes fob's secrets and the means to mint a CI
// job's identity from the process's own, so that no child inherits them.
func TakeEnviron() map[string]string {
	environ, withheld := make(map[string]string), false
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		name = variableName(name)
		environ[name] = value
		if isWithheld(name) {
			os.Unsetenv(name)
			withheld = true
		}
	}
	if withheld {
		process.HideVariables(environ, isWithheld)
	}
	return environ
}

func isWithheld(name string) bool { return HoldsSecret(name) || ci.MintsIdentity(name) }

// withholdIdentities removes the variables with the profiles' identities, as TakeEnviron
// removes those that are known without a configuration.
func withholdIdentities(environ map[string]string, cfg *config.Config) {
	for _, p := range cfg.Profiles {
		name, ok := ci.Source(p.Identity).Variable()
		if !ok {
			continue
		}
		if _, set := os.LookupEnv(name); set {
			os.Unsetenv(name)
			process.HideVariables(environ, func(other string) bool { return other == name })
		}
	}
}

// ChildEnviron is the environment of a program that fob runs: fob's own without secrets,
// the CI job's identity if keepIdentity is set, and the added variables.
func (a *App) ChildEnviron(keepIdentity bool, added map[string]string) ([]string, error) {
	cfg, err := a.Config() // which withholds the identities that it names
	if err != nil {
		return nil, err
	}
	identities := maps.Clone(a.Environ)
	maps.DeleteFunc(identities, func(name, _ string) bool { return !keepIdentity || !ci.MintsIdentity(name) })
	for _, p := range cfg.Profiles {
		name, ok := ci.Source(p.Identity).Variable()
		if value, set := a.Environ[variableName(name)]; ok && set && keepIdentity && !HoldsSecret(name) {
			identities[name] = value
		}
	}
	return withVariables(withVariables(os.Environ(), identities), added), nil
}

// HoldsSecret reports whether a variable may contain a secret of fob.
func HoldsSecret(name string) bool {
	return strings.HasPrefix(name, "FOB_") && slices.ContainsFunc(Variables, func(v EnvVariable) bool {
		return v.Secret && strings.HasPrefix(name, strings.TrimSuffix(v.Name, "_FILE"))
	})
}

func withVariables(environ []string, added map[string]string) []string {
	result := slices.DeleteFunc(environ, func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		_, replaced := added[name]
		return replaced
	})
	for name, value := range added {
		result = append(result, name+"="+value)
	}
	slices.Sort(result)
	return result
}
