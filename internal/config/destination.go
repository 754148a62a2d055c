package config

import (
	"fmt"
	"path/filepath"
)

// Destination is the table [destination]: how this machine delivers credentials.
type Destination struct {
	As          map[string]string `toml:"as" doc:"the credential for a platform, by its name: token/PROFILE or secret/NAME"`
	URL         map[string]string `toml:"url" doc:"the address of a self-hosted platform, by its name"`
	DotenvRoots []string          `toml:"dotenv_roots" doc:"folders below which destinations in a registry may write .env files" default:"the working directory"`
}

// checkMachine rejects commands without a name or a program's path, and folders that depend
// on the working directory, before they are used.
func (c *Config) checkMachine() error {
	for name, argv := range c.Commands {
		if err := CheckName(name); err != nil {
			return fmt.Errorf("[commands]: %w", err)
		}
		if len(argv) == 0 || argv[0] == "" {
			return fmt.Errorf("[commands]: %s names no program", name)
		}
	}
	for _, root := range c.Destination.DotenvRoots {
		if !filepath.IsAbs(root) {
			return fmt.Errorf("[destination]: dotenv_roots contains %.80q, which is not an absolute path", root)
		}
	}
	for folder, references := range c.EnvFiles {
		if !filepath.IsAbs(folder) {
			return fmt.Errorf("[env_files]: %.80q is not an absolute path", folder)
		}
		for _, reference := range references {
			if err := CheckReference(reference); err != nil {
				return fmt.Errorf("[env_files]: %.80q: %w", reference, err)
			}
		}
	}
	return nil
}
