package app

import (
	"context"
	"strings"

	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/dotenv"
	"github.com/fobcli/fob/internal/envfile"
	"github.com/fobcli/fob/internal/secret"
	"github.com/fobcli/fob/internal/session"
)

// CheckReference checks the form of a reference, not whether it exists.
func CheckReference(text string) error { return cli.AsUsage(config.CheckReference(text)) }

// CheckExists checks that a reference's profile or secret exists, without reading it.
func (a *App) CheckExists(reference string) error {
	if name, isSecret := strings.CutPrefix(reference, config.SecretPrefix); isSecret {
		if value, err := a.secretFromEnv(name); err != nil || value != "" {
			return err
		}
		_, err := a.secretSettings(name)
		return err
	}
	name := strings.TrimPrefix(reference, config.TokenPrefix)
	if a.Getenv(Variable("FOB_TOKEN_", name)) != "" {
		return nil
	}
	_, err := a.Profile([]string{name})
	return err
}

// Referenced returns the value of a reference.
func (a *App) Referenced(ctx context.Context, reference string) (secret.Secret, error) {
	if err := CheckReference(reference); err != nil {
		return secret.Secret{}, err
	}
	if name, isSecret := strings.CutPrefix(reference, config.SecretPrefix); isSecret {
		stored, err := a.HeldSecret(ctx, name)
		return stored.Value, err
	}
	token, err := a.TokenOf(ctx, strings.TrimPrefix(reference, config.TokenPrefix))
	if err != nil {
		return secret.Secret{}, err
	}
	return token.Value, nil
}

// ReadRefs reads the files of --env-file, whose references the user must have allowed, then
// the variables of --env, which need no approval because the user typed them. The last
// variable of a name takes precedence.
func (a *App) ReadRefs(ctx context.Context, variables, files []string) ([]envfile.Variable, error) {
	var refs []envfile.Variable
	for _, file := range files {
		if file == "" {
			return nil, cli.WithHint(cli.Usagef("--env-file is empty"), "pass a file, or leave it out; in a script, check that the variable is set")
		}
		f, err := ReadEnvFile(ctx, file)
		if err != nil {
			return nil, err
		}
		if err := checkAllowed(ctx, a, file, f); err != nil {
			return nil, err
		}
		refs = append(refs, f.Variables...)
	}
	for _, variable := range variables {
		name, source, _ := strings.Cut(variable, "=")
		if !dotenv.IsName(name) || CheckReference(source) != nil {
			return nil, cli.WithHint(cli.Usagef("--env is not NAME=token/PROFILE or NAME=secret/NAME"), "use --env GH_TOKEN=token/github; set other variables in the shell")
		}
		refs = append(refs, envfile.Variable{Name: name, Value: envfile.Scheme + source})
	}
	return refs, nil
}

// Resolve replaces references by their values, reading each once. secrets are the texts to
// mask: the values, and the lines of multi-line values.
func (a *App) Resolve(ctx context.Context, refs []envfile.Variable) (added map[string]string, secrets []string, err error) {
	added = make(map[string]string)
	values := make(map[string]secret.Secret)
	last := make(map[string]int)
	for i, ref := range refs {
		last[ref.Name] = i
	}
	for i, ref := range refs {
		if last[ref.Name] != i {
			continue
		}
		var text strings.Builder
		for rest := ref.Value; rest != ""; {
			before, reference, behind := envfile.CutReference(rest)
			text.WriteString(before)
			rest = behind
			if reference == "" {
				continue
			}
			if values[reference].IsZero() {
				if values[reference], err = a.Referenced(ctx, reference); err != nil {
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

// linesToMask returns a value and its lines, which programs may print separately. Very
// short lines are left out, since they would match other text.
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

// TokenOf returns the token that 'fob token NAME' prints.
func (a *App) TokenOf(ctx context.Context, name string) (*session.Token, error) {
	if err := config.CheckName(name); err != nil {
		return nil, cli.AsUsage(err)
	}
	ttl, err := ConfiguredMinTTL(a)
	if err != nil {
		return nil, err
	}
	want := session.TokenOptions{MinTTL: ttl}
	if given, err := a.TokenFromEnv(name, want); err != nil || given != nil {
		return given, err
	}
	p, err := a.TokenProfile([]string{name})
	if err != nil {
		return nil, err
	}
	token, err := a.Token(ctx, p, want)
	return token, cli.ForProfile(err, name)
}
