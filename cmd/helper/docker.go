package helper

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/fobcli/fob/cmd/internal/usage"
	"github.com/fobcli/fob/internal/app"
	"github.com/fobcli/fob/internal/cli"
	"github.com/fobcli/fob/internal/config"
	"github.com/fobcli/fob/internal/credhelper"
	"github.com/fobcli/fob/internal/secret"
)

// DockerProgram is the name of the link to fob that docker runs as its helper "fob".
const DockerProgram = "docker-credential-fob"

var dockerOperations = []string{"get", "store", "erase", "list", "version"}

func newHelperDockerCmd(a *app.App) *cobra.Command {
	return usage.Command(a, &cobra.Command{
		Use:   "docker get|store|erase|list|version",
		Short: "Print registry credentials for docker",
		Long: `Speak the protocol of docker's credential helpers, also for podman, buildah, crane and
others. They run docker-credential-fob, which is a link to fob in a folder of PATH.
Then configure fob in ~/.docker/config.json, for each registry:

  {"credHelpers": {"ghcr.io": "fob"}}

Tokens are printed only for the registries of a profile (docker_registries in
config.toml, or --docker-registry; presets have their own), with its docker_username.
erase drops the cached token, never the login; store is refused: 'docker login' is not
needed, since fob stores logins, not passwords.`,
		Example: `  fob profile set work --docker-registry registry.example.com
  ln -s "$(command -v fob)" ~/.local/bin/docker-credential-fob
  echo registry.example.com | docker-credential-fob get`,
		ValidArgs: dockerOperations,
		Args:      oneOf(dockerOperations),
	}, usage.NoFlags{}, runHelperDocker, cli.ExitDone, cli.ExitFailed, cli.ExitUsage, cli.ExitLoginRequired, cli.ExitUnavailable, cli.ExitStorage, cli.ExitLockTimeout, cli.ExitInterrupted)
}

// PurgeDocker removes docker's link to fob for a purge. Another program of that name stays.
func PurgeDocker(a *app.App, dryRun bool) {
	path, err := exec.LookPath(DockerProgram)
	if err != nil {
		return
	}
	_, err = os.Readlink(path)
	program, _ := executablePath()
	self, _ := os.Stat(program)
	linked, _ := os.Stat(path)
	switch own := err == nil && os.SameFile(linked, self); {
	case !own:
		a.Note("%s was not removed: it is not a link to this fob.", path)
	case dryRun:
		a.Note("would remove docker's link to fob: %s.", path)
	default:
		if err := os.Remove(path); err != nil {
			a.Warn(fmt.Sprintf("docker's link to fob was not removed: %v", err))
			return
		}
		a.Note("Removed docker's link to fob: %s.", path)
	}
}

func runHelperDocker(ctx context.Context, a *app.App, args []string, _ usage.NoFlags) error {
	operation := args[0]
	switch operation {
	case "version":
		_, err := fmt.Fprintln(a.Out.Raw(), app.VersionLine())
		return err
	case "list":
		return listRegistries(a)
	case "store":
		return cli.WithHint(cli.Usagef("fob stores no passwords for docker"), "'docker login' is not needed: 'fob login PROFILE --docker-registry HOST'")
	}
	name, place, err := credhelper.ReadRegistry(a.In)
	if err != nil {
		return inputHint(err, "docker")
	}
	rule, err := dockerHosts().rule(a, "", place, "")
	switch {
	case err != nil:
		return err
	case rule == nil && operation == "erase":
		return nil
	case rule == nil:
		fmt.Fprintln(a.Out.Raw(), credhelper.NotFoundInDocker)
		return cli.Silent(cli.ExitFailed) // docker has read the reason
	case operation == "erase":
		return dropRefused(ctx, a, rule.Profile, secret.Secret{})
	}
	c, err := accessFor(ctx, a, rule)
	if err != nil {
		return err
	}
	return credhelper.WriteDocker(a.Out.Raw(), name, c)
}

func dockerHosts() hosts {
	return hosts{"docker_registries", usage.HintRegistry, credhelper.ParseRegistry, func(p config.Profile) ([]string, string) {
		return p.DockerRegistries, p.DockerUsername
	}}
}

// listRegistries lists the registries as spelled in the profiles.
func listRegistries(a *app.App) error {
	if _, err := dockerHosts().rules(a, ""); err != nil { // invalid ones are not listed
		return err
	}
	cfg, err := a.Config()
	if err != nil {
		return err
	}
	usernames := make(map[string]string)
	for _, name := range cfg.Names() {
		registries, username := dockerHosts().of(cfg.Profiles[name].WithProvider())
		for _, registry := range registries {
			usernames[registry] = credhelper.Credential{Username: username}.Name()
		}
	}
	return credhelper.ListDocker(a.Out.Raw(), usernames)
}
