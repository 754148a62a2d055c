//go:build unix

package config

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestFindPaths(t *testing.T) {
	for _, test := range []struct {
		env  []string
		want Paths
	}{
		{[]string{"HOME", "/h"}, Paths{"/h/.config/fob/config.toml", "/h/.local/share/fob", "/h/.cache/fob", "/h/.cache/fob/run"}},
		{[]string{"HOME", "/h", "XDG_RUNTIME_DIR", "/run/user/1"}, Paths{"/h/.config/fob/config.toml", "/h/.local/share/fob", "/h/.cache/fob", "/run/user/1/fob"}},
		{[]string{"HOME", "/h", "XDG_CONFIG_HOME", "/c", "XDG_DATA_HOME", "/d", "XDG_CACHE_HOME", "rel"}, Paths{"/c/fob/config.toml", "/d/fob", "/h/.cache/fob", "/h/.cache/fob/run"}},
		{[]string{"FOB_HOME", "/f", "HOME", "/h"}, Paths{"/f/config.toml", "/f/data", "/f/cache", "/f/run"}},
		{[]string{"FOB_HOME", "/f", "FOB_CONFIG", ".github/fob.toml"}, Paths{".github/fob.toml", "/f/data", "/f/cache", "/f/run"}},
	} {
		if got, err := FindPaths(env(test.env...)); err != nil || got != test.want {
			t.Errorf("%v: %+v, %v", test.env, got, err)
		}
	}
	if got, err := FindPaths(env("FOB_HOME", "rel", "HOME", "/h")); err == nil {
		t.Errorf("a relative FOB_HOME: %+v", got)
	}
	if _, err := FindPaths(env()); err == nil {
		t.Error("no HOME, and no error")
	}
}

// A configuration that others could plant in the folder for temporary files is not read.
func TestAJobNeedsNoHome(t *testing.T) {
	temp := filepath.Join(os.TempDir(), fmt.Sprintf("fob-%d", os.Getuid()))
	for _, test := range []struct {
		env  []string
		want Paths
	}{
		{[]string{"FOB_STORAGE", "env"}, Paths{"", temp + "/data/fob", temp + "/cache/fob", temp + "/cache/fob/run"}},
		{[]string{"FOB_STORAGE", "none"}, Paths{"", temp + "/data/fob", temp + "/cache/fob", temp + "/cache/fob/run"}},
		{[]string{"FOB_STORAGE", "none", "FOB_CONFIG", "fob.toml"}, Paths{"fob.toml", temp + "/data/fob", temp + "/cache/fob", temp + "/cache/fob/run"}},
		{[]string{"FOB_STORAGE", "none", "XDG_CONFIG_HOME", "/c", "XDG_CACHE_HOME", "/k"}, Paths{"/c/fob/config.toml", temp + "/data/fob", "/k/fob", "/k/fob/run"}},
		{[]string{"FOB_STORAGE", "env", "HOME", "/h"}, Paths{"/h/.config/fob/config.toml", "/h/.local/share/fob", "/h/.cache/fob", "/h/.cache/fob/run"}},
	} {
		if got, err := FindPaths(env(test.env...)); err != nil || got != test.want {
			t.Errorf("%v: %+v, %v", test.env, got, err)
		}
	}
}
