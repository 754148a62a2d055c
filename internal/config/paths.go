package config

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// Paths are the paths of fob's files.
type Paths struct {
	Config  string // the file config.toml
	Data    string // a folder: keys, locks, sealed files
	Cache   string // a folder that may be deleted at any time
	Runtime string // a folder for sockets
}

// FindPaths returns the paths by the XDG base directories, or by %AppData% and
// %LocalAppData% on Windows. FOB_HOME moves all of them, FOB_CONFIG only config.toml.
func FindPaths(getenv func(string) string) (Paths, error) {
	find := xdgPaths
	switch {
	case getenv("FOB_HOME") != "":
		find = homePaths
	case runtime.GOOS == "windows":
		find = windowsPaths
	}
	p, err := find(getenv)
	p.Config = cmp.Or(getenv("FOB_CONFIG"), p.Config)
	return p, err
}

func homePaths(getenv func(string) string) (Paths, error) {
	home := filepath.Clean(getenv("FOB_HOME"))
	if !filepath.IsAbs(home) { // else logins would depend on the working directory
		return Paths{}, fmt.Errorf("FOB_HOME is not an absolute path: %q", home)
	}
	return Paths{filepath.Join(home, "config.toml"), filepath.Join(home, "data"), filepath.Join(home, "cache"), filepath.Join(home, "run")}, nil
}

func windowsPaths(getenv func(string) string) (Paths, error) {
	roaming, local := getenv("AppData"), getenv("LocalAppData")
	if roaming == "" || local == "" {
		return Paths{}, errors.New("%AppData% or %LocalAppData% is not set: set FOB_HOME to a folder for fob's files")
	}
	return Paths{filepath.Join(roaming, "fob", "config.toml"), filepath.Join(local, "fob", "data"), filepath.Join(local, "fob", "cache"), filepath.Join(local, "fob", "run")}, nil
}

func xdgPaths(getenv func(string) string) (Paths, error) {
	home := getenv("HOME")
	base := func(name, fallback string) string {
		if dir := getenv(name); filepath.IsAbs(dir) { // the specification says to ignore relative paths
			return dir
		}
		return filepath.Join(home, fallback)
	}
	config, data, cache := base("XDG_CONFIG_HOME", ".config"), base("XDG_DATA_HOME", ".local/share"), base("XDG_CACHE_HOME", ".cache")
	if storage := getenv("FOB_STORAGE"); (storage == StorageNone || storage == oldStorageNone) && (!filepath.IsAbs(home) || home == "/") { // in a CI job's container nothing is stored, so no home is needed
		home = filepath.Join(os.TempDir(), fmt.Sprintf("fob-%d", os.Getuid()))
		if data, cache = base("XDG_DATA_HOME", "data"), base("XDG_CACHE_HOME", "cache"); !filepath.IsAbs(config) {
			return Paths{Data: filepath.Join(data, "fob"), Cache: filepath.Join(cache, "fob"), Runtime: filepath.Join(cache, "fob", "run")}, nil
		}
	}
	if !filepath.IsAbs(config) || !filepath.IsAbs(data) || !filepath.IsAbs(cache) {
		return Paths{}, errors.New("HOME is not set: set it, or FOB_HOME to a folder for fob's files")
	}
	runtime := filepath.Join(cache, "fob", "run")
	if dir := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		runtime = filepath.Join(dir, "fob")
	}
	return Paths{filepath.Join(config, "fob", "config.toml"), filepath.Join(data, "fob"), filepath.Join(cache, "fob"), runtime}, nil
}
