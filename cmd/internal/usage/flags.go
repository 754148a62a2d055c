package usage

import (
	"github.com/fobcli/fob/internal/credhelper"
	"github.com/fobcli/fob/internal/oauth"
)

// AsFlag is --as, of commands that deliver.
type AsFlag struct {
	As []string `flag:"as" empty:"refused" help:"log in to the platform as {[PLATFORM=]PROFILE}"`
}

// Hints for places without a host.
const (
	HintHost     = "use https://HOST, optionally with a port and a path; http is only for loopback addresses"
	HintRegistry = "use the registry's HOST, optionally with a port: ghcr.io, registry.example.com:5000"
)

// URLPlace parses a host or cluster in a configuration.
func URLPlace(text string) (credhelper.Place, error) {
	if err := oauth.CheckURL(text); err != nil {
		return credhelper.Place{}, err
	}
	return credhelper.ParsePlace(text)
}

// ReferenceFlags are --env and --env-file; see app.ReadRefs.
type ReferenceFlags struct {
	Variables []string `flag:"env" help:"{NAME=token/PROFILE} or NAME=secret/NAME; repeatable"`
	Files     []string `flag:"env-file" help:"{FILE} with lines NAME=VALUE or NAME=fob://token/PROFILE; repeatable"`
}

// AllowFolderFlag is --allow-folder: a registry may be shared, so that what it names needs
// this machine's consent.
type AllowFolderFlag struct {
	AllowFolder bool `flag:"allow-folder" help:"allow rotations to write .env files there"`
}

// ForceFlag is --force: a destination stores one value, so that a second key or secret
// overwrites the first, which may be the only copy.
type ForceFlag struct {
	Force bool `flag:"force" help:"overwrite another key or secret at a destination"`
}
