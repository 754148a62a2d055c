package cmd

import (
	"bufio"
	"bytes"
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/atomicfile"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/session"
)

// What a reference to a credential is, and how its value is had, for all commands that
// take one: token/PROFILE and secret/NAME, and within a text fob:// before them.

// variableRef is a variable for the child: a text, with references in it.
type variableRef struct{ name, value string }

const (
	referenceScheme = "fob://"
	tokenReference  = "token/"
	secretReference = "secret/"
)

// checkReference refuses what is no reference, without looking whether it exists.
func checkReference(text string) error {
	if profile, isToken := strings.CutPrefix(text, tokenReference); isToken {
		return config.ValidName(profile)
	}
	if name, isSecret := strings.CutPrefix(text, secretReference); isSecret {
		return config.ValidSecretName(name)
	}
	return usagef("a reference is token/PROFILE or secret/NAME")
}

// checkExists refuses a reference to a profile or a secret that there is not. None is read.
func (a *app) checkExists(reference string) error {
	if name, isSecret := strings.CutPrefix(reference, secretReference); isSecret {
		if value, err := a.givenSecret(name); err != nil || value != "" {
			return err
		}
		cfg, err := a.config()
		if err == nil {
			_, err = a.secretSettings(cfg, name)
		}
		return err
	}
	name := strings.TrimPrefix(reference, tokenReference)
	if a.getenv(variable("FOB_TOKEN_", name)) != "" {
		return nil
	}
	_, err := a.profile([]string{name})
	return err
}

// referenced is the value that a reference stands for.
func (a *app) referenced(ctx context.Context, reference string) (secret.Secret, error) {
	if err := checkReference(reference); err != nil {
		return secret.Secret{}, &usageError{err.Error()}
	}
	if name, isSecret := strings.CutPrefix(reference, secretReference); isSecret {
		held, err := a.heldSecret(ctx, name)
		return held.Value, err
	}
	return a.tokenFor(ctx, strings.TrimPrefix(reference, tokenReference))
}

// addReferenceFlags adds what readRefs reads.
func addReferenceFlags(c *cobra.Command, variables *[]string, file *string) {
	c.Flags().StringArrayVar(variables, "env", nil, "`NAME=token/PROFILE` or NAME=secret/NAME; repeatable")
	c.Flags().StringVar(file, "env-file", "", "a `FILE` of lines NAME=VALUE, see above")
}

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
		if !isVariableName(name) || checkReference(source) != nil {
			return nil, withHint(usagef("--env takes NAME=token/PROFILE or NAME=secret/NAME"), "as in --env GH_TOKEN=token/github; what is no secret, the shell can set")
		}
		refs = append(refs, variableRef{name, referenceScheme + source})
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
		if wrong := wrongReference(value); wrong != "" {
			return nil, withHint(usagef("%s:%d: %s is neither fob://token/PROFILE nor fob://secret/NAME", path, number, wrong),
				"'fob status' and 'fob secret list' show the names that there are")
		}
		refs = append(refs, variableRef{name, value})
	}
	return refs, lines.Err()
}

// wrongReference finds what begins as a reference and is none: a program would take it for
// the password itself. No more of the text is shown, where a password may stand.
func wrongReference(text string) string {
	for text != "" {
		before, reference, behind := cutReference(text)
		if at := strings.Index(before, referenceScheme); at >= 0 {
			wrong := before[at+len(referenceScheme):]
			return referenceScheme + wrong[:len(wrong)-len(strings.TrimLeft(wrong, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_/"))]
		}
		if reference != "" && checkReference(reference) != nil {
			return referenceScheme + reference
		}
		text = behind
	}
	return ""
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

// resolve puts values in the place of references; each is asked for once. What must not
// be shown is in secrets, with each line of those that have several.
func (a *app) resolve(ctx context.Context, refs []variableRef) (added map[string]string, secrets []string, err error) {
	added = make(map[string]string)
	values := make(map[string]secret.Secret)
	for _, ref := range refs {
		var text strings.Builder
		for rest := ref.value; rest != ""; {
			before, reference, behind := cutReference(rest)
			text.WriteString(before)
			rest = behind
			if reference == "" {
				continue
			}
			if values[reference].IsZero() {
				if values[reference], err = a.referenced(ctx, reference); err != nil {
					return nil, nil, err
				}
				secrets = append(secrets, linesToMask(values[reference])...)
			}
			text.WriteString(values[reference].Reveal())
		}
		added[ref.name] = text.String()
	}
	return added, secrets, nil
}

// cutReference finds the first reference in a text, without its scheme; there may be
// none. It ends where no name goes on.
func cutReference(text string) (before, reference, behind string) {
	at := -1
	for _, kind := range []string{tokenReference, secretReference} {
		if i := strings.Index(text, referenceScheme+kind); i >= 0 && (at < 0 || i < at) {
			at = i
		}
	}
	if at < 0 {
		return text, "", ""
	}
	rest := text[at+len(referenceScheme):]
	slash := strings.HasPrefix(rest, secretReference)
	name := strings.IndexByte(rest, '/') + 1
	end := strings.IndexFunc(rest[name:], func(r rune) bool {
		return r != '-' && (r != '/' || !slash) && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	if end < 0 {
		end = len(rest) - name
	}
	return text[:at], rest[:name+end], rest[name+end:]
}

// linesToMask are a value and its lines, which programs print one by one. A line of few
// characters stands in other texts, too.
func linesToMask(value secret.Secret) []string {
	const shortest = 4
	all := []string{value.Reveal()}
	for line := range strings.Lines(value.Reveal()) {
		if line = strings.TrimRight(line, "\r\n"); len(line) >= shortest && line != all[0] {
			all = append(all, line)
		}
	}
	return all
}

// tokenFor is what 'fob token NAME' prints.
func (a *app) tokenFor(ctx context.Context, name string) (secret.Secret, error) {
	token, err := a.tokenOf(ctx, name)
	if err != nil {
		return secret.Secret{}, err
	}
	return token.Value, nil
}

// tokenOf is that token, with its end.
func (a *app) tokenOf(ctx context.Context, name string) (*session.Token, error) {
	if err := config.ValidName(name); err != nil {
		return nil, &usageError{err.Error()}
	}
	want, err := a.tokenRequest(tokenOptions{})
	if err != nil {
		return nil, err
	}
	if given, err := a.givenToken(name, want); err != nil || given != nil {
		return given, err
	}
	p, err := a.tokenProfile([]string{name})
	if err != nil {
		return nil, err
	}
	token, err := a.token(ctx, p, want)
	if err != nil {
		return nil, forProfile(err, name)
	}
	return token, nil
}
