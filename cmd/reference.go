package cmd

import (
	"bufio"
	"bytes"
	"context"
	"strings"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/session"
)

// What a reference to a credential is, and how its value is had, for all commands that
// take one.

// variableRef is a variable for the child: a text, with references to tokens in it.
type variableRef struct{ name, value string }

// reference starts a reference within a value.
const reference = "fob://token/"

// readRefs reads the file of --env-file, then the variables of --env, which win.
func readRefs(variables []string, file string) ([]variableRef, error) {
	var refs []variableRef
	if file != "" {
		text, err := atomicfile.ReadPublic(file)
		if err != nil {
			return nil, withHint(&usageError{"--env-file: " + err.Error()}, "give a file of lines NAME=VALUE")
		}
		if refs, err = parseEnvFile(file, text); err != nil {
			return nil, err
		}
	}
	for _, variable := range variables {
		name, source, _ := strings.Cut(variable, "=")
		profile, isToken := strings.CutPrefix(source, "token/")
		if !isToken || !isVariableName(name) || config.ValidName(profile) != nil {
			return nil, withHint(usagef("--env takes NAME=token/PROFILE"), "as in --env GH_TOKEN=token/github; what is no secret, the shell can set")
		}
		refs = append(refs, variableRef{name, reference + profile})
	}
	return refs, nil
}

// parseEnvFile reads lines NAME=VALUE. Quotes around a whole value go; # starts a
// comment at the start of a line.
func parseEnvFile(path string, text []byte) ([]variableRef, error) {
	var refs []variableRef
	lines := bufio.NewScanner(bytes.NewReader(text))
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, found := strings.Cut(strings.TrimPrefix(line, "export "), "=")
		if !found || !isVariableName(name) {
			return nil, withHint(usagef("%s:%d is no NAME=VALUE", path, number), "comments start with #")
		}
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		if strings.ContainsRune(value, 0) {
			return nil, usagef("%s:%d: there is a NUL in the value", path, number)
		}
		refs = append(refs, variableRef{name, value})
	}
	return refs, lines.Err()
}

func isVariableName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c != '_' && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// resolve puts tokens in the place of references; each profile is asked once.
func (a *app) resolve(ctx context.Context, refs []variableRef) (added map[string]string, secrets []string, err error) {
	added = make(map[string]string)
	tokens := make(map[string]secret.Secret)
	for _, ref := range refs {
		var value strings.Builder
		rest := ref.value
		for {
			before, behind, found := strings.Cut(rest, reference)
			value.WriteString(before)
			if !found {
				break
			}
			end := strings.IndexFunc(behind, func(r rune) bool { return r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9') })
			if end < 0 {
				end = len(behind)
			}
			name := behind[:end]
			rest = behind[end:]
			if tokens[name].IsZero() {
				if tokens[name], err = a.tokenFor(ctx, name); err != nil {
					return nil, nil, err
				}
				secrets = append(secrets, tokens[name].Reveal())
			}
			value.WriteString(tokens[name].Reveal())
		}
		added[ref.name] = value.String()
	}
	return added, secrets, nil
}

// tokenFor is what 'fob token NAME' prints.
func (a *app) tokenFor(ctx context.Context, name string) (secret.Secret, error) {
	if err := config.ValidName(name); err != nil {
		return secret.Secret{}, &usageError{err.Error()}
	}
	want, err := a.tokenRequest(tokenOptions{})
	if err != nil {
		return secret.Secret{}, err
	}
	given, err := a.givenToken(name, want)
	if err != nil {
		return secret.Secret{}, err
	}
	if given != nil {
		return given.Value, nil
	}
	p, err := a.profile([]string{name})
	if err != nil {
		return secret.Secret{}, err
	}
	var token *session.Token
	if token, err = a.token(ctx, p, want); err != nil {
		return secret.Secret{}, forProfile(err, name)
	}
	return token.Value, nil
}
