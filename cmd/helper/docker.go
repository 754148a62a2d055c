package helper

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credhelper"
	"github.com/fobcli/fob/internal/secret"
)

// DockerProgram is the name under which docker runs its helper "fob": a link to fob.
const DockerProgram = "docker-credential-fob"

var dockerOperations = []string{"get", "store", "erase", "list", "version"}

func newHelperDockerCmd(a *app.App) *cobra.Command {
	c := &cobra.Command{
		Use:   "docker get|store|erase|list|version",
		Short: "Answer docker's question for a registry's credential",
		Long: `Speak the protocol of docker's credential helpers, which podman, buildah, crane and
others speak too. They run a program docker-credential-fob: make it a link to fob in
a folder of PATH. Then name fob in ~/.docker/config.json, for each registry:

  {"credHelpers": {"ghcr.io": "fob"}}

A token is given for exactly the registries that a profile names (docker_registries in
config.toml, or --docker-registry; presets know their own), with its docker_username.
erase forgets the cached token, never the login; store is refused: 'docker login' is
not needed, fob keeps logins and no passwords.

` + usage.ExitHelp(cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitLoginRequired, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted),
		Example: `  fob profile set work --docker-registry registry.example.com
  ln -s "$(command -v fob)" ~/.local/bin/docker-credential-fob
  echo registry.example.com | docker-credential-fob get`,
		ValidArgs: dockerOperations,
		Args:      oneOf(dockerOperations),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runHelperDocker(cmd.Context(), a, args[0])
		},
	}
	return c
}

func runHelperDocker(ctx context.Context, a *app.App, operation string) error {
	switch operation {
	case "version":
		_, err := fmt.Fprintln(a.Out.Raw(), app.VersionLine())
		return err
	case "store":
		return cli.WithHint(cli.Usagef("fob keeps logins, and no password that docker gives it"), "'docker login' is not needed: 'fob login PROFILE --docker-registry HOST'")
	}
	rules, err := dockerRules(a)
	if err != nil {
		return err
	}
	if operation == "list" {
		return listRegistries(a)
	}
	name, place, err := credhelper.ReadRegistry(a.In)
	if err != nil {
		return inputHint(err, "docker")
	}
	rule, found, err := selectRule(rules, place, "")
	switch {
	case err != nil:
		return err
	case operation == "erase" && found:
		return dropRefused(ctx, a, rule.Profile, secret.Secret{})
	case operation == "erase":
		return nil
	case !found:
		fmt.Fprintln(a.Out.Raw(), credhelper.NotFoundInDocker)
		return cli.Silent(cli.ExitFailed) // docker has read why
	}
	c, err := credentialFor(ctx, a, rule)
	if err != nil {
		return err
	}
	return credhelper.WriteDocker(a.Out.Raw(), name, c)
}

// dockerRules are the registries that the profiles name.
func dockerRules(a *app.App) ([]credhelper.Rule, error) {
	return helperRules(a, "", func(p config.Profile) ([]credhelper.Rule, error) {
		var rules []credhelper.Rule
		for _, registry := range p.DockerRegistries {
			place, err := credhelper.ParseRegistry(registry)
			if err != nil {
				return nil, cli.WithHint(cli.Usagef("docker_registries of profile %q: %s", p.Name, err), usage.HintRegistry)
			}
			rules = append(rules, credhelper.Rule{Place: place, Profile: p.Name, Username: p.DockerUsername})
		}
		return rules, nil
	})
}

// listRegistries names what there is, as it is configured.
func listRegistries(a *app.App) error {
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	all := make(map[string]string)
	for _, name := range cfg.Names() {
		p := cfg.Profiles[name].WithProvider()
		for _, registry := range p.DockerRegistries {
			all[registry] = credhelper.Credential{Username: p.DockerUsername}.Name()
		}
	}
	return credhelper.ListDocker(a.Out.Raw(), all)
}
