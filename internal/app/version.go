package app

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

func userAgent() string { return "fob/" + Version() }

// release is set by the linker when a release is built.
var release string

// clientIDMetadataURL is set by the linker once the project has a site that serves
// docs/client-metadata.json: the owner of that domain could redirect logins.
var clientIDMetadataURL string

// ClientIDMetadataURL returns the URL of the document about fob as a client, or "".
func ClientIDMetadataURL() string { return clientIDMetadataURL }

// Version returns the release, or else what the build knows about its source.
func Version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "dev"
	}
	return info.Main.Version
}

// VersionLine returns what 'fob version' prints.
func VersionLine() string {
	return fmt.Sprintf("fob %s %s/%s", Version(), runtime.GOOS, runtime.GOARCH)
}
