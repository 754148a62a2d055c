package credhelper

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/fobcli/fob/internal/sanitize"
)

// NotFoundInDocker is exactly what docker expects on stdout if there is no credential; it
// then continues without one.
const NotFoundInDocker = "credentials not found in native keychain"

const maxRegistry = 8 << 10

// ReadRegistry reads the line that docker writes, a registry's name. It returns the name
// unchanged, and its Place, which is zero if the name is invalid.
func ReadRegistry(r io.Reader) (name string, place Place, err error) {
	text, err := io.ReadAll(io.LimitReader(r, maxRegistry+1))
	if err != nil {
		return "", Place{}, err
	}
	name = strings.TrimSuffix(string(text), "\n")
	if name == "" || len(text) > maxRegistry || strings.ContainsFunc(name, isControl) {
		return "", Place{}, fmt.Errorf("%w: it is not one line with the name of a registry", ErrInput)
	}
	return name, registryPlace(name), nil
}

// registryPlace parses docker's names of registries: ghcr.io, localhost:5000,
// https://index.docker.io/v1/. A registry has no path.
func registryPlace(name string) Place {
	scheme, rest, found := strings.Cut(name, "://")
	if !found {
		scheme, rest = "https", name
	}
	host, path, _ := strings.Cut(rest, "/")
	if host == "docker.io" { // docker's name of its hub in images
		host = "index.docker.io"
	}
	switch strings.TrimSuffix(path, "/") {
	case "", "v1", "v2":
		return NewPlace(scheme, host, "")
	}
	return Place{}
}

// ParseRegistry parses a registry in a configuration.
func ParseRegistry(name string) (Place, error) {
	place := registryPlace(name)
	if place == (Place{}) || place.scheme != "https" {
		return Place{}, fmt.Errorf("%q is not the name of a registry: write HOST or HOST:PORT", sanitize.Line(name))
	}
	return place, nil
}

// WriteDocker prints a credential for a registry, with docker's name of it.
func WriteDocker(w io.Writer, name string, c Credential) error {
	token := c.Token.Reveal()
	if !sanitize.IsVisibleASCII(token) {
		return errors.New("the token cannot be written in docker's protocol")
	}
	return writeJSON(w, struct{ ServerURL, Username, Secret string }{name, c.Name(), token})
}

// ListDocker prints registries with their usernames.
func ListDocker(w io.Writer, registries map[string]string) error { return writeJSON(w, registries) }

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
