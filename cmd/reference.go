package cmd

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/envfile"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/session"
)

// What a reference to a credential is, and how its value is had, for all commands that
// take one: token/PROFILE and secret/NAME, and within a text fob:// before them.

const (
	tokenReference  = config.TokenPrefix
	secretReference = config.SecretPrefix
)

// checkReference refuses what is no reference, without looking whether it exists.
func checkReference(text string) error {
	if err := config.CheckReference(text); err != nil {
		return usageOf(err)
	}
	return nil
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
		return secret.Secret{}, err
	}
	if name, isSecret := strings.CutPrefix(reference, secretReference); isSecret {
		held, err := a.heldSecret(ctx, name)
		return held.Value, err
	}
	token, err := a.tokenOf(ctx, strings.TrimPrefix(reference, tokenReference))
	if err != nil {
		return secret.Secret{}, err
	}
	return token.Value, nil
}

// addReferenceFlags adds what readRefs reads.
func addReferenceFlags(c *cobra.Command, variables *[]string, file *string) {
	c.Flags().StringArrayVar(variables, "env", nil, "`NAME=token/PROFILE` or NAME=secret/NAME; repeatable")
	c.Flags().StringVar(file, "env-file", "", "a `FILE` of lines NAME=VALUE, see above")
}

// readRefs reads the file of --env-file, whose references the user must have allowed, then
// the variables of --env, which take precedence: they were typed, which is consent.
func (a *app) readRefs(ctx context.Context, variables []string, file string) ([]envfile.Variable, error) {
	var refs []envfile.Variable
	if file != "" {
		f, err := readEnvFile(ctx, file)
		if err != nil {
			return nil, err
		}
		if err := a.checkAllowed(ctx, file, f); err != nil {
			return nil, err
		}
		refs = f.Variables
	}
	for _, variable := range variables {
		name, source, _ := strings.Cut(variable, "=")
		if !envfile.IsName(name) || checkReference(source) != nil {
			return nil, withHint(usagef("--env takes NAME=token/PROFILE or NAME=secret/NAME"), "as in --env GH_TOKEN=token/github; what is no secret, the shell can set")
		}
		refs = append(refs, envfile.Variable{Name: name, Value: envfile.Scheme + source})
	}
	return refs, nil
}

func readEnvFile(ctx context.Context, path string) (*envfile.File, error) {
	f, err := await(ctx, func() (*envfile.File, error) { return envfile.Read(path) })
	var syntax *envfile.SyntaxError
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.As(err, &syntax):
		return nil, withHint(usageOf(err), "%s", syntax.Hint)
	case err != nil:
		return nil, withHint(usagef("env file: %s", err), "give a file of lines NAME=VALUE")
	}
	return f, nil
}

// resolve puts values in the place of references; each is asked for once. What must not
// be shown is in secrets, with each line of those that have several.
func (a *app) resolve(ctx context.Context, refs []envfile.Variable) (added map[string]string, secrets []string, err error) {
	added = make(map[string]string)
	values := make(map[string]secret.Secret)
	for _, ref := range refs {
		var text strings.Builder
		for rest := ref.Value; rest != ""; {
			before, reference, behind := envfile.CutReference(rest)
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
		added[ref.Name] = text.String()
	}
	return added, secrets, nil
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

// tokenOf is what 'fob token NAME' prints, with its end.
func (a *app) tokenOf(ctx context.Context, name string) (*session.Token, error) {
	if err := config.ValidName(name); err != nil {
		return nil, usageOf(err)
	}
	ttl, err := a.configuredMinTTL()
	if err != nil {
		return nil, err
	}
	want := session.TokenOptions{MinTTL: ttl}
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
